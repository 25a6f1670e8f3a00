import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const module = new URL("../../../services/lib/memory.ts", import.meta.url);

/** Leaves some 50 MB behind, waits until most of it is given back, and does both again. Prints a word for each time. */
const program = `
import { setTimeout } from "node:timers/promises";
import { giveMemoryBack } from ${JSON.stringify(module)};
giveMemoryBack({ afterStartMs: 10, lookEveryMs: 10 });
function work() {
  Array.from({ length: 400_000 }, (_, i) => ({ i, text: "x" + i }));
  return process.memoryUsage.rss();
}
for (const word of ["start", "burst"]) {
  const goal = work() - 15e6;
  for (let tries = 0; process.memoryUsage.rss() > goal && tries < 300; tries++) await setTimeout(20);
  if (process.memoryUsage.rss() <= goal) console.log(word);
}
process.exit(0);
`;

describe("a service that gives memory back", () => {
  it("does so after the start and after a burst of work", async () => {
    const command = ["--expose-gc", "--input-type=module", "--eval", program];
    const { stdout } = await promisify(execFile)(process.execPath, command);
    expect(stdout).toBe("start\nburst\n");
  });
});
