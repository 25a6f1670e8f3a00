import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contactUri } from "../../appliance/contact.ts";

describe("the contact as a URI", () => {
  it.each([
    ["me@chat.example.org", "mailto:me@chat.example.org"],
    ["Me.Too+x@Chat.Example.ORG", "mailto:Me.Too%2Bx@chat.example.org"],
    ["jörg@bücher.example", "mailto:j%C3%B6rg@xn--bcher-kva.example"],
    ['"$HOME"@chat.example', "mailto:%22%24HOME%22@chat.example"],
    ["mailto:me@chat.example?subject=Hello you", "mailto:me@chat.example?subject=Hello%20you"],
    ["https://chat.example", "https://chat.example/"],
    [
      'https://Bücher.example/ü "[x]|100%?q={1}',
      "https://xn--bcher-kva.example/%C3%BC%20%22%5Bx%5D%7C100%25?q=%7B1%7D",
    ],
    ["https://chat.example/$SET:x%{user}%%", "https://chat.example/%24SET:x%25%7Buser%7D%25%25"],
  ])("%s", (contact, uri) => {
    expect(contactUri(contact)).toBe(uri);
  });

  it.each([
    "",
    "me",
    "me@",
    "@chat.example",
    "me@192.0.2.7",
    "me@[192.0.2.7]",
    "me you@chat.example",
    "mailto:me",
    "http://chat.example",
    "https://",
    "https://[::1]/",
    "https://i.delta.chat/#0123ABCD",
    "javascript:alert(1)//@",
    "/etc/passwd",
  ])("is none for %j", (contact) => {
    expect(contactUri(contact)).toBeUndefined();
  });

  it("has only characters of a URI, and no variable of dovecot.conf, whatever the link holds", () => {
    const text = fc.string({ unit: "binary" }).filter((part) => !part.includes("#"));
    fc.assert(
      fc.property(fc.constantFrom("/", "/?"), text, (start, rest) => {
        const uri = contactUri(`https://chat.example${start}${rest}`)!;
        // RFC 3986 appendix A, without fragments, IP literals and "$".
        const piece = "(?:[A-Za-z0-9\\-._~!&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*";
        expect(uri).toMatch(new RegExp(`^https://chat\\.example/${piece}(?:\\?(?:${piece}|\\?)*)?$`));
        expect(contactUri(uri)).toBe(uri);
      }),
    );
  });
});
