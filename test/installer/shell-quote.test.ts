/** Words of printed commands, judged by the shell itself. */
import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, it } from "vitest";
import { shellQuote } from "../../installer/shell-quote.ts";

it.each(["chat.example.org", "/tmp/a-b_c/x.img", "~root", "a~1", "../x", "a=b", "", " ", "$HOME", "é"])(
  "leaves %j one word, quoted only if need be",
  (word) => {
    const isPlain = /^[\w./-][\w./=~-]*$/.test(word);
    expect(shellQuote(word, "linux") === word).toBe(isPlain);
  },
);

it.skipIf(process.platform === "win32")("gives the shell any word back as it was (Unix shell)", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary-ascii" }).filter((word) => !word.includes("\0"))),
      (words) => {
        const quoted = words.map((word) => shellQuote(word, "linux")).join(" ");
        const printed = execFileSync("/bin/sh", ["-c", `printf '%s\\0' ${quoted}`], { encoding: "utf8" });
        expect(printed).toBe(words.length === 0 ? "\0" : words.map((word) => `${word}\0`).join(""));
      },
    ),
    { numRuns: 60 },
  );
});

it("puts paths of Windows into double quotes where they need some", () => {
  expect(shellQuote("C:\\Users\\me\\x.img", "win32")).toBe("C:\\Users\\me\\x.img");
  expect(shellQuote("C:\\Users\\A B\\x.img", "win32")).toBe('"C:\\Users\\A B\\x.img"');
  expect(shellQuote("C:\\R&D\\x.img", "win32")).toBe('"C:\\R&D\\x.img"');
});
