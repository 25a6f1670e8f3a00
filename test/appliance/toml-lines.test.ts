/** Finding the lines of keys in TOML (appliance/toml-lines.ts). */
import fc from "fast-check";
import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";
import { tomlLines } from "../../appliance/toml-lines.ts";

describe("tomlLines", () => {
  it("counts lines in every notation of keys", () => {
    const lineOf = tomlLines(
      [
        "a = 1",
        "",
        "# b = 2",
        'b."c d" = 3',
        "[e]",
        "f = { g = 1 }",
        "[h.i]",
        "j = 1",
        "[[k]]",
        "l = 1",
      ].join("\n"),
    );
    const paths = [
      ["a"],
      ["b"],
      ["b", "c d"],
      ["e"],
      ["e", "f"],
      ["h"],
      ["h", "i"],
      ["k"],
      ["k", "l"],
      ["g"],
    ];
    expect(paths.map((path) => lineOf(path))).toEqual([1, 4, 4, 5, 6, 7, 7, 9, 10, undefined]);
  });

  it.each([
    ["a basic string", 'a = "[ # {"'],
    ["an escaped quote", 'a = "\\" ["'],
    ["a literal string", "a = '\\[ # '"],
    ["an empty string", 'a = ""'],
    ["a string over lines", 'a = """\nz = 1\n[ """'],
    ["a string over lines that ends with quotes", 'a = """x\n"""""'],
    ["escaped quotes in a string over lines", 'a = """\\"""\n"""'],
    ["a literal string over lines", "a = '''\nz = 1\n\\'''"],
    ["a list over lines", 'a = [ # [\n  "]",\n\n  [1],\n]'],
    ["a comment with a quote", "a = 1 # it's"],
    ["a quoted key", '"a" = 1\n"#[" = 2'],
  ])("is not led astray by %s", (_, text) => {
    const whole = `${text}\nnext = 1\n`;
    expect(parse(whole)).toHaveProperty("a");
    const lineOf = tomlLines(whole);
    expect([lineOf(["a"]), lineOf(["next"]), lineOf(["z"])]).toEqual([
      1,
      whole.split("\n").length - 1,
      undefined,
    ]);
  });

  it("finds each key in its line, whatever the values are and with either line end", () => {
    const value = fc.oneof(
      fc.string().map((text) => JSON.stringify(text).replaceAll("\u007f", "")),
      fc.string().map((text) => `'''${text.replaceAll(/['\p{Cc}]/gu, "\n")}'''`),
      fc
        .array(fc.constantFrom("1", "'['", '"]"', "[ ]", "{ x = '}' }"))
        .map((all) => `[${all.join(" , # '[\n ")}]`),
    );
    const entry = fc.tuple(value, fc.constantFrom("", " # [", "\n\n", "\n[section]"));
    fc.assert(
      fc.property(fc.array(entry), fc.constantFrom("\n", "\r\n"), (entries, lineEnd) => {
        const expected: [path: string[], line: number][] = [];
        let text = "";
        let section: string[] = [];
        for (const [index, [one, after]] of entries.entries()) {
          if (after.includes("[section]") && section.length > 0) continue;
          expected.push([[...section, `k${index}`], text.split("\n").length]);
          text += `k${index} = ${one}${after}\n`;
          if (after.includes("[section]")) section = ["section"];
        }
        const written = text.replaceAll("\n", lineEnd);
        parse(written);
        const lineOf = tomlLines(written);
        expect(expected.map(([path]) => lineOf(path))).toEqual(expected.map(([, line]) => line));
      }),
    );
  });
});
