/** ./homing build, launcher and all, under the signals that really come: to the whole group, once and twice. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { readLock } from "../../image/packages/lock.ts";
import { isRunning } from "../../image/packages/process.ts";
import { runHoming } from "../support/command-io.ts";
import { putSmallRootfs } from "../support/small-rootfs.ts";
import { waitFor } from "../support/wait.ts";

const launcher = join(import.meta.dirname, "../../installer/launch.mjs");
const mirror = "http://127.0.0.1:9";
let folder: string;
let child: ChildProcess | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-stop-"));
  await runHoming(["init", "_a.test", "--dir", join(folder, "relay")]);
  await putSmallRootfs({
    ...{ target: "pi", spec: rootfsSpec(), lock: readLock(), cache: join(folder, "cache") },
    mirrors: { debian: mirror, security: mirror },
  });
});
afterEach(() => child?.kill("SIGKILL"));
afterAll(() => rm(folder, { recursive: true }));

/** Starts a build in a process group of its own; resolves when it begins to write its second file. */
async function startBuild(): Promise<{ group: number; ended: Promise<unknown[]> }> {
  const args = [launcher, "build", "relay", "--target", "pi", "--cache", "cache", "--mirror", mirror];
  child = spawn(process.execPath, [...args, "--compress", "--json"], {
    cwd: folder,
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  for await (const line of createInterface(child.stdout!)) {
    if (JSON.parse(line).stage === "Compressing the image") break;
  }
  child.stdout!.resume();
  return { group: child.pid!, ended };
}

const parts = async () => (await readdir(folder)).filter((name) => name.endsWith(".part"));

describe.skipIf(process.platform === "win32")(
  "a build whose process group is stopped (needs Unix signals)",
  () => {
    it.each([
      ["SIGTERM", 143],
      ["SIGHUP", 129],
    ] as const)("cleans up at %s and ends with %i", async (signal, code) => {
      const { group, ended } = await startBuild();
      expect(await parts()).not.toEqual([]);
      process.kill(-group, signal);
      expect((await ended)[0]).toBe(code);
      expect((await readdir(folder)).sort()).toEqual(["cache", "relay"]);
    });

    it("leaves its file when it is killed, which the next build removes", async () => {
      const { group, ended } = await startBuild();
      process.kill(-group, "SIGKILL");
      expect((await ended)[1]).toBe("SIGKILL");
      const left = await parts();
      expect(left).not.toEqual([]);
      const writer = Number(/\.(\d+)-\w+\.part$/.exec(left[0]!)![1]);
      // A process that waits for the disk ends after that.
      await waitFor("the killed build has ended", 60_000, () => !isRunning(writer));
      const { ended: next } = await startBuild();
      expect((await next)[0]).toBe(0);
      expect(await parts()).toEqual([]);
    });
  },
);
