/** Tests of the reader of relationships between packages. */
import { expect, it } from "vitest";
import { meets, parseRelations, RelationError } from "../../../image/packages/relation.ts";

it("reads groups, alternatives, conditions and architecture qualifiers", () => {
  expect(parseRelations("libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0,python3:any , a(=1:2-3)")).toEqual([
    [{ name: "libc6", operator: ">=", version: "2.38" }],
    [{ name: "debconf", operator: ">=", version: "0.5" }, { name: "debconf-2.0" }],
    [{ name: "python3" }],
    [{ name: "a", operator: "=", version: "1:2-3" }],
  ]);
  expect(parseRelations(undefined)).toEqual([]);
  expect(parseRelations("a,\nb")).toHaveLength(2);
});

it.each(["libc6 >= 2", "UPPER", "a (~ 1)", "a (>= )"])("refuses %s", (text) => {
  expect(() => parseRelations(text)).toThrow(RelationError);
});

it.each([
  ["1.0-1", "a (<< 1.0-1)", false],
  ["1.0-1", "a (<= 1.0-1)", true],
  ["1.0-1", "a (= 1.0-1)", true],
  ["1.0-2", "a (= 1.0-1)", false],
  ["1.0-1", "a (>= 1.0-2)", false],
  ["1.0-3", "a (>> 1.0-2)", true],
  [undefined, "a", true],
  [undefined, "a (>= 0)", false],
])("finds whether version %s meets %s", (version, text, expected) => {
  expect(meets(version, parseRelations(text)[0]![0]!)).toBe(expected);
});
