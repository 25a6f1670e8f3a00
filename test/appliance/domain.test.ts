/** The rules for a relay's mail domain (appliance/domain.ts). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  DomainError,
  isTestDomain,
  MAX_DOMAIN_LENGTH,
  parseDomain,
  specialUseOf,
} from "../../appliance/domain.ts";

describe("parseDomain", () => {
  it.each([
    ["chat.example.org", "chat.example.org"],
    ["  Chat.Example.ORG. ", "chat.example.org"],
    ["bücher.example", "xn--bcher-kva.example"],
    ["BÜCHER.example", "xn--bcher-kva.example"],
    ["faß.example", "xn--fa-hia.example"],
    ["例え.jp", "xn--r8jz45g.jp"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["_a.test", "_a.test"],
    ["1und1.example", "1und1.example"],
    ["a-b.c--d.example", "a-b.c--d.example"],
  ])("makes of “%s” the name “%s”", (given, expected) => {
    expect(parseDomain(given)).toBe(expected);
  });

  it.each([
    ["", "it is empty"],
    [" . ", "it is empty"],
    ["localhost", "only one part"],
    ["192.0.2.1", "it is an IP address"],
    ["[192.0.2.1]", "it is an IP address"],
    ["2001:db8::1", "it is an IP address"],
    ["[IPv6:2001:db8::1]", "it is an IP address"],
    ["127.1", "it means the IP address 127.0.0.1"],
    ["0x7f.1", "it means the IP address 127.0.0.1"],
    ["https://chat.example.org", "without https://"],
    ["chat.example.org/new", "without a path"],
    ["me@chat.example.org", "after the “@”"],
    ["chat.example.org:993", "without a port"],
    ["chat example.org", "“ ” is not allowed"],
    ["*.example.org", "“*” is not allowed"],
    ["a..example", "two dots in a row"],
    [".example.org", "two dots in a row or begins with a dot"],
    ["-a.example", "must begin and end with a letter or a digit"],
    ["a-.example", "must begin and end with a letter or a digit"],
    ["_.test", "must begin and end with a letter or a digit"],
    ["a_b.test", "“_” is allowed only as the first character"],
    ["__a.test", "“_” is allowed only as the first character"],
    ["a._b.test", "“_” is allowed only as the first character"],
    ["xn--a.example", "not a valid A-label"],
    [`${"a".repeat(64)}.example`, "has 64 characters, at most 63"],
    [`${"a23456789.".repeat(19)}example`, `has 197 characters, at most ${MAX_DOMAIN_LENGTH}`],
  ])("refuses “%s”: %s", (given, reason) => {
    expect(() => parseDomain(given)).toThrow(DomainError);
    expect(() => parseDomain(given)).toThrow(reason);
  });

  it("names in the error what was given", () => {
    expect(() => parseDomain("LOCALHOST")).toThrow("“LOCALHOST” cannot be a relay's domain");
  });

  it("gives for any text either a DomainError or a name that it gives back unchanged", () => {
    const texts = fc.oneof(
      fc.string(),
      fc.domain(),
      fc.string({ unit: "grapheme" }).map((label) => `${label}.example`),
    );
    fc.assert(
      fc.property(texts, (text) => {
        let name: string;
        try {
          name = parseDomain(text);
        } catch (error) {
          expect(error).toBeInstanceOf(DomainError);
          return;
        }
        expect(name).toMatch(/^[a-z0-9_][a-z0-9.-]*[a-z0-9]$/);
        expect(parseDomain(name)).toBe(name);
      }),
    );
  });
});

describe("isTestDomain", () => {
  it("knows test relays by their first character", () => {
    expect(isTestDomain("_a.test")).toBe(true);
    expect(isTestDomain("a.test")).toBe(false);
  });
});

describe("specialUseOf", () => {
  it.each([
    ["relay.local", "local"],
    ["chat.example.org", "example.org"],
    ["a.b.onion", "onion"],
    ["relay.internal", "internal"],
    ["relay.home.arpa", "arpa"],
  ])("knows that %s can never be public", (domain, ending) => {
    expect(specialUseOf(domain)?.ending).toBe(ending);
  });

  it.each(["chat.example.de", "local.museum", "mylocal.net", "constructor.net", "a.constructor"])(
    "has nothing against %s",
    (domain) => {
      expect(specialUseOf(domain)).toBeUndefined();
    },
  );
});
