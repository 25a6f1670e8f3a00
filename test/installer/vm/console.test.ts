import { expect, it } from "vitest";
import { consoleLines } from "../../../installer/vm/console.ts";

function linesOf(...pieces: string[]): string[] {
  const lines: string[] = [];
  const take = consoleLines((line) => lines.push(line));
  for (const piece of pieces) take(piece);
  return lines;
}

it("joins pieces to lines, whatever ends them", () => {
  expect(linesOf("homing: slot a on", " /dev/vda2\r", "\nsecond\r\r\nthird\n", "unfinished")).toEqual([
    "homing: slot a on /dev/vda2",
    "second",
    "third",
  ]);
});

it("removes the terminal's control sequences", () => {
  expect(linesOf("\u001b[2J\u001b[01;01H\u001b[=3hBdsDxe\r\n")).toEqual(["BdsDxe"]);
  expect(linesOf("\u001b[!p\u001b]104\u0007\u001b[?7h[\u001b[0;1;31mFAILED\u001b[0m] x\n")).toEqual([
    "[FAILED] x",
  ]);
  expect(linesOf("\u001b]0;title\u001b\\text\n")).toEqual(["text"]);
});

it("removes the kernel's clock and the name of the program", () => {
  expect(linesOf("[   61.387471] homing-status[410]: homing: ready, relay _a.test\n")).toEqual([
    "homing: ready, relay _a.test",
  ]);
  expect(linesOf("[    9.815626] systemd[1]: Failed\n")).toEqual(["Failed"]);
});

it("drops empty lines", () => {
  expect(linesOf("\r\n  \r\n\u001b[0m\r\na\r\n")).toEqual(["a"]);
});
