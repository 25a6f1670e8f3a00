/** How homing-ctl runs the device's programs whose output is long. */
import { describe, expect, it } from "vitest";
import { runProgramLines } from "../../../appliance/ctl/terminal.ts";

describe("a program whose lines are read", () => {
  const all = async (program: string, ...args: string[]) => {
    const lines: string[] = [];
    for await (const line of runProgramLines(program, args)) lines.push(line);
    return lines;
  };

  it("may say more than fits into memory at once", async () => {
    let count = 0;
    for await (const line of runProgramLines("seq", ["200000"])) if (line === `${count + 1}`) count += 1;
    expect(count).toBe(200_000);
    expect(await all("printf", "one\\ntwo")).toEqual(["one", "two"]);
    expect(await all("true")).toEqual([]);
  });

  it("that fails is no end of the list", async () => {
    await expect(all("sh", "-c", "echo one; exit 3")).rejects.toThrow("sh failed");
    await expect(all("/no/such/program")).rejects.toThrow("/no/such/program: spawn /no/such/program ENOENT");
  });

  it("ends when nobody reads on", async () => {
    for await (const line of runProgramLines("yes", [])) {
      expect(line).toBe("y");
      break;
    }
  });
});
