/** Tests of the ar reader; archives are made by hand because dpkg-deb (test/image/packages) makes only good ones. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { ArError, readAr } from "../../../image/formats/ar.ts";

function member(name: string, content: string, size = String(content.length)): string {
  const fields = [name.padEnd(16), "0".padEnd(12), "0".padEnd(6), "0".padEnd(6), "100644".padEnd(8)];
  return `${fields.join("")}${size.padEnd(10)}\`\n${content}${content.length % 2 ? "\n" : ""}`;
}
const archive = (...members: string[]) => Buffer.from(`!<arch>\n${members.join("")}`);

it("gives every member with its content, skipping the padding behind odd sizes", () => {
  const members = readAr(archive(member("debian-binary", "2.0"), member("empty", ""), member("b/", "1234")));
  expect(members.map(({ name, content }) => [name, Buffer.from(content).toString()])).toEqual([
    ["debian-binary", "2.0"],
    ["empty", ""],
    ["b", "1234"],
  ]);
});

it("gives no members for an empty archive", () => {
  expect(readAr(archive())).toEqual([]);
});

it.each([
  ["without the magic", Buffer.from("!<arhc>\nxxxxxxxx"), /magic/],
  ["of no bytes at all", Buffer.alloc(0), /magic/],
  ["cut off in a header", archive(member("a", "1234")).subarray(0, 40), /cut off in the header at byte 8/],
  ["cut off in a member", archive(member("a", "1234")).subarray(0, -1), /member a wants 4 bytes/],
  ["with a size that is no number", archive(member("a", "12", "-2")), /header at byte 8 is malformed/],
  ["whose header has no end mark", archive(member("a", "12").replace("`\n", "xx")), /malformed/],
])("refuses an archive %s", (_what, bytes, message) => {
  expect(() => readAr(bytes)).toThrow(ArError);
  expect(() => readAr(bytes)).toThrow(message);
});

it("refuses or reads any damaged archive, but never fails otherwise", () => {
  const whole = archive(
    member("debian-binary", "2.0\n"),
    member("data.tar", "x".repeat(99)),
    member("c", ""),
  );
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.string({ minLength: 1, maxLength: 20 }), (at, text) => {
      const bytes = Buffer.from(whole);
      bytes.write(text, at, "latin1");
      try {
        for (const { content } of readAr(bytes)) expect(content.length).toBeLessThan(bytes.length);
      } catch (error) {
        expect(error).toBeInstanceOf(ArError);
      }
    }),
    { numRuns: 2000 },
  );
});
