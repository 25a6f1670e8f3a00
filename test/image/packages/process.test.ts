/** Which processes run (image/packages/process.ts). */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";
import { isRunning } from "../../../image/packages/process.ts";
import { endedProcess } from "../../support/package-source.ts";

it("knows those that run, also of others, and those that have ended", () => {
  expect([1, process.ppid, process.pid].map(isRunning)).toEqual([true, true, true]);
  expect(isRunning(endedProcess())).toBe(false);
});

it.skipIf(process.platform !== "linux")(
  "takes one that ended and was never asked for as ended (Linux)",
  async () => {
    // The shell becomes a program that asks for no child; until then it could, so the child waits.
    const child = "until grep -q tail /proc/$PPID/comm; do sleep 0.02; done";
    const script = `sh -c '${child}' & echo $!; exec tail -f /dev/null`;
    const parent = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      const id = Number(String((await once(parent.stdout, "data"))[0]));
      await expect.poll(() => isRunning(id), { timeout: 20_000 }).toBe(false);
      expect(process.kill(id, 0)).toBe(true); // its number is still its own
    } finally {
      parent.kill("SIGKILL");
    }
  },
);
