/** One trial disk, one ./homing vm (installer/vm/disk-lock.ts). */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { DiskInUseError, lockDisk } from "../../../installer/vm/disk-lock.ts";

let folder: string;
let disk: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-lock-"));
  disk = join(folder, "a-trial.img");
});
afterEach(() => rm(folder, { recursive: true }));

it("refuses a disk on which another one runs, or its machine that was left behind", async () => {
  await using others = await lockDisk(join(folder, "b-trial.img"));
  await others.add(process.ppid);
  const machine = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  try {
    await writeFile(`${disk}.${machine.pid}.lock`, "");
    await expect(lockDisk(disk)).rejects.toThrow(DiskInUseError);
    await expect(lockDisk(disk)).rejects.toThrow(
      new RegExp(`a-trial\\.img is in use: .*process ${machine.pid}.*delete .*\\.${machine.pid}\\.lock`),
    );
    expect((await readdir(folder)).filter((name) => name.startsWith("a-"))).toHaveLength(1);
  } finally {
    machine.kill("SIGKILL");
    await once(machine, "exit");
  }
  await (await lockDisk(disk))[Symbol.asyncDispose]();
});

it("takes over what ended ones left, and leaves nothing itself", async () => {
  const dead = spawnSync(process.execPath, ["--version"]).pid;
  for (const id of [dead, process.pid]) await writeFile(`${disk}.${id}.lock`, "");
  {
    await using lock = await lockDisk(disk);
    await lock.add(process.ppid);
    expect((await readdir(folder)).sort()).toEqual(
      [process.pid, process.ppid].map((id) => `a-trial.img.${id}.lock`).sort(),
    );
  }
  expect(await readdir(folder)).toEqual([]);
});

it.each(["--fresh", "--console"])(
  "stops ./homing vm %s before anything is made or replaced",
  async (option) => {
    const image = join(folder, "a.img");
    const head = Buffer.alloc(1024);
    head.writeUInt16LE(0xaa55, 510);
    await writeFile(image, head);
    await writeFile(disk, "accounts and mail");
    await writeFile(`${disk}.${process.ppid}.lock`, "");
    const main = join(import.meta.dirname, "../../../installer/main.ts");
    const { status, stderr } = spawnSync(process.execPath, [main, "vm", image, option], {
      cwd: folder,
      encoding: "utf8",
    });
    expect([status, stderr]).toEqual([1, expect.stringMatching(/^homing: .*a-trial\.img is in use: /)]);
    expect(await readFile(disk, "utf8")).toBe("accounts and mail");
    expect((await readdir(folder)).sort()).toEqual(
      ["a.img", "a-trial.img", `a-trial.img.${process.ppid}.lock`].sort(),
    );
  },
);

it.skipIf(process.platform !== "linux")("names a folder that takes no files, and the mend", async () => {
  await expect(lockDisk("/proc/a-trial.img")).rejects.toThrow(
    /^the relay's disk a-trial\.img needs a folder that takes files, and \/proc does not: .*Change to another folder/,
  );
});
