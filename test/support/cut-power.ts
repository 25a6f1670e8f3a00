/**
 * A machine in QEMU whose power goes at a chosen moment: SIGKILL to the emulator, so that whatever the guest did not
 * write is lost. What it wrote and did not flush stays in this computer's memory, as no real cut grants. For the tests of the first boot (test/boot/power-loss.test.ts, test/bench/power-loss.ts). BIOS, since
 * it starts sooner than UEFI, and no acceleration: that makes a moment last as long everywhere.
 */
import { spawn } from "node:child_process";
import { appendFileSync, mkdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { readFat } from "../../image/audit/fat-reader.ts";
import { readPartitions } from "../../image/audit/partition-reader.ts";
import type { ReadAt } from "../../image/audit/read-at.ts";
import { consoleLines } from "../../installer/vm/console.ts";
import { oneThread } from "../../installer/vm/emulation.ts";
import { findProgram } from "../../installer/vm/machine.ts";
import { emulatedPc } from "./emulated-pc.ts";
import { cpuSecondsOf } from "./process-cpu.ts";

/** Without acceleration, beside other work, on two cores. */
const BOOT_TIMEOUT = 600_000;
/** How often a condition on the disk is looked at; the guest is slower. */
const POLL_MILLISECONDS = 2;

export type PoweredMachine = AsyncDisposable &
  Readonly<{
    lines: readonly string[];
    /** Waits for a line of the console. Throws with its last lines when the machine ended, or it took too long. */
    line: (pattern: RegExp) => Promise<string>;
    /** Waits for a condition on the disk. Throws likewise. */
    poll: (what: string, isSo: () => Promise<boolean>) => Promise<void>;
    /** What the emulator has used of the computer's processors. */
    cpuSeconds: () => Promise<number>;
    /** Takes the power away. */
    cut: () => Promise<void>;
  }>;

/** Starts the vm image in the file; `forwards` are ports of 127.0.0.1 by those of the machine. */
export function powerOn(
  disk: string,
  name: string,
  forwards: ReadonlyMap<number, number> = new Map(),
): PoweredMachine {
  const output = join(import.meta.dirname, "..", "output", "boot");
  mkdirSync(output, { recursive: true });
  const logFile = join(output, `${name}.log`);
  appendFileSync(logFile, `=== ${new Date().toISOString()}\n`);
  const program = findProgram("qemu-system-x86_64");
  if (program === undefined) throw new Error("qemu-system-x86_64 is missing");
  const network = [...forwards].map(([guest, host]) => `,hostfwd=tcp:127.0.0.1:${host}-:${guest}`).join("");
  const child = spawn(
    program,
    [
      ...emulatedPc("q35", oneThread),
      ...["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"],
      ...[
        "-drive",
        `if=none,id=disk,format=raw,file=${disk}`,
        "-device",
        "virtio-blk-pci,drive=disk,bootindex=0",
      ],
      ...["-netdev", `user,id=net${network}`, "-device", "virtio-net-pci,netdev=net"],
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  // Whatever ends this program, the guest must not stay behind.
  const endWithUs = () => child.kill("SIGKILL");
  process.once("exit", endWithUs);
  child.once("exit", () => process.off("exit", endWithUs));
  const started = performance.now();
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const look of waiting) look();
  };
  const onText = consoleLines((line) => {
    lines.push(line);
    appendFileSync(logFile, `${((performance.now() - started) / 1000).toFixed(1).padStart(6)} ${line}\n`);
    wake();
  });
  child.stdout.setEncoding("utf8").on("data", onText);
  child.stderr.setEncoding("utf8").on("data", onText);
  let hasEnded = false;
  const ended = new Promise<void>((resolve) => {
    const end = () => {
      hasEnded = true;
      wake();
      resolve();
    };
    child.once("error", end).once("exit", end);
  });
  const trouble = (what: string) =>
    new Error(`${name}: ${what}; its console (${logFile}):\n${lines.slice(-30).join("\n")}`);
  const cut = async () => {
    child.kill("SIGKILL");
    await ended;
  };

  const line = async (pattern: RegExp): Promise<string> => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const look = () => {
      const found = lines.find((text) => pattern.test(text));
      if (found !== undefined) resolve(found);
      else if (hasEnded) reject(trouble(`the machine ended before it said ${pattern}`));
    };
    const late = new AbortController();
    setTimeout(BOOT_TIMEOUT, undefined, { signal: late.signal }).then(
      () => reject(trouble(`it did not say ${pattern} in ${BOOT_TIMEOUT / 1000} s`)),
      () => {},
    );
    waiting.add(look);
    look();
    try {
      return await promise;
    } finally {
      waiting.delete(look);
      late.abort();
    }
  };

  const poll = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
    const deadline = performance.now() + BOOT_TIMEOUT;
    while (!(await isSo())) {
      if (hasEnded) throw trouble(`the machine ended before ${what}`);
      if (performance.now() > deadline) throw trouble(`${what} took longer than ${BOOT_TIMEOUT / 1000} s`);
      await setTimeout(POLL_MILLISECONDS);
    }
  };
  const cpuSeconds = () => cpuSecondsOf(child.pid!);
  return { lines, line, poll, cpuSeconds, cut, [Symbol.asyncDispose]: cut };
}

/** Runs `use` with a reader of the file. */
export async function readingDisk<T>(disk: string, use: (read: ReadAt) => Promise<T>): Promise<T> {
  await using file = await open(disk);
  return await use(async (offset, length) => {
    const buffer = Buffer.alloc(length);
    await file.read(buffer, 0, length, offset);
    return buffer;
  });
}

/** Where partition number `number` of the disk lies. Throws when there is none. */
export async function placeOf(disk: string, number: number) {
  const { partitions } = await readingDisk(disk, readPartitions);
  const found = partitions.find((partition) => partition.number === number);
  if (found === undefined) throw new Error(`${disk} has no partition ${number}`);
  return found;
}

const PIECE_BYTES = 1 << 20;
/** A line of PEM has 64 characters (RFC 7468 §2); the last one may be short enough to occur by chance. */
const MIN_LINE = 32;

/**
 * The lines of the relay's private keys that lie anywhere in the first three partitions, in files or free clusters, each
 * with its offset in the disk.
 */
export async function keysOutsideData(
  disk: string,
  relay: ReadonlyMap<string, Uint8Array>,
): Promise<string[]> {
  const lines = [...relay]
    .filter(([path]) => path.endsWith(".pem"))
    .flatMap(([path, content]) =>
      Buffer.from(content)
        .toString("latin1")
        .split("\n")
        .filter((line) => line.length >= MIN_LINE && !line.startsWith("-----"))
        .map((line) => ({ path, line: Buffer.from(line, "latin1") })),
    );
  if (lines.length === 0) throw new Error("the relay folder has no keys");
  const { startBytes: end } = await placeOf(disk, 4);
  const empty = Buffer.alloc(PIECE_BYTES);
  return await readingDisk(disk, async (read) => {
    const found: string[] = [];
    // Pieces overlap, so that no line is cut by their border.
    for (let offset = 0; offset < end; offset += PIECE_BYTES - 128) {
      const piece = await read(offset, Math.min(PIECE_BYTES, end - offset));
      if (piece.equals(empty)) continue;
      for (const { path, line } of lines) {
        const at = piece.indexOf(line);
        if (at >= 0) found.push(`${path} at ${offset + at}`);
      }
    }
    return found;
  });
}

/** Paths on the boot partition that belong to a relay folder. */
export async function relayOnFat(disk: string): Promise<string[]> {
  const { startBytes } = await placeOf(disk, 1);
  const files = await readingDisk(disk, (read) =>
    readFat((offset, length) => read(startBytes + offset, length)),
  );
  return [...files.keys()].filter((path) => path.startsWith("relay"));
}
