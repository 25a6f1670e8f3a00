/**
 * Puts foreign-disk.ts under a program of its own: node --import this file, with the folder in HOMING_FOREIGN_DISK.
 * When the program ends, "PROCESS CALLS" and what was refused are added to HOMING_FOREIGN_DISK_REPORT. Used by
 * test/boot/reproducible.test.ts.
 */
import { appendFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import { installForeignDisk } from "./foreign-disk.ts";

const { HOMING_FOREIGN_DISK: folder, HOMING_FOREIGN_DISK_REPORT: report } = process.env;
if (folder === undefined || report === undefined) throw new Error("HOMING_FOREIGN_DISK… are not set");
// A thread that only computes needs no disk.
if (isMainThread) {
  const disk = installForeignDisk(folder);
  process.once("exit", () => {
    disk[Symbol.dispose]();
    appendFileSync(report, `${process.pid} ${disk.calls()} ${JSON.stringify(disk.refused)}\n`);
  });
}
