/** Tests of the reader of Debian's control text. */
import { expect, it } from "vitest";
import { Deb822Error, parseStanzas } from "../../../image/packages/deb822.ts";

it("reads stanzas with folded fields, comments and any number of empty lines between", () => {
  const text =
    "\n\nPackage: a\nDepends: b,\n c\n# remark\nDescription: short\n long\n .\n end\n\n \nPackage: b\n";
  const [a, b, ...more] = parseStanzas(text);
  expect(Object.fromEntries(a!)).toEqual({
    package: "a",
    depends: "b,\nc",
    description: "short\nlong\n.\nend",
  });
  expect(Object.fromEntries(b!)).toEqual({ package: "b" });
  expect(more).toEqual([]);
});

it.each([
  ["a line that is no field", "Package: a\nnonsense", /line 2/],
  ["a continuation of nothing", " lost", /line 1/],
  ["a continuation behind an empty line", "Package: a\n\n lost", /line 3/],
  ["a field given twice", "Package: a\npackage: b", /line 2 gives the field package a second time/],
])("refuses %s, naming the line", (_what, text, message) => {
  expect(() => parseStanzas(text)).toThrow(Deb822Error);
  expect(() => parseStanzas(text)).toThrow(message);
});
