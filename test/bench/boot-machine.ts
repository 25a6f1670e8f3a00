/** One boot in QEMU without acceleration, and what it had used when something could be had of it. For the bench of the boot. */
import { spawn } from "node:child_process";
import { ports } from "../../appliance/layout.ts";
import { consoleLines } from "../../installer/vm/console.ts";
import { threadEach } from "../../installer/vm/emulation.ts";
import { findProgram, freePort } from "../../installer/vm/machine.ts";
import { emulatedPc } from "../support/emulated-pc.ts";
import { cpuSecondsOf } from "../support/process-cpu.ts";

/** Ports of 127.0.0.1 that lead into the machine. */
export type Forwards = Readonly<{ imap: number; imaps: number; submission: number; submissions: number }>;

/** Since QEMU was started. CPU is the emulator's. */
export type Moment = Readonly<{ seconds: number; cpuSeconds: number }>;

export type Running = Readonly<{
  forwards: Forwards;
  /** Those of the console so far. */
  lines: readonly string[];
  moment(): Promise<Moment>;
}>;

export type BootOptions = Readonly<{
  /** Raw image; the machine writes to it. */
  disk: string;
  kernel: string;
  initramfs: string;
  /** The kernel's command line. */
  options: string;
}>;

/**
 * Starts the machine, waits for `use` and ends it as a power cut would. Throws what `use` throws, with the console's last
 * lines.
 */
export async function boot<T>(
  { disk, kernel, initramfs, options }: BootOptions,
  use: (machine: Running) => Promise<T>,
): Promise<T> {
  const program = findProgram("qemu-system-x86_64");
  if (program === undefined) throw new Error("qemu-system-x86_64 is missing");
  const forwards: Forwards = {
    imap: await freePort(0),
    imaps: await freePort(0),
    submission: await freePort(0),
    submissions: await freePort(0),
  };
  const forwarding = (Object.keys(forwards) as (keyof Forwards)[]).map(
    (name) => `,hostfwd=tcp:127.0.0.1:${forwards[name]}-:${ports[name]}`,
  );
  const child = spawn(
    program,
    [
      ...emulatedPc("q35", threadEach),
      ...["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"],
      ...["-kernel", kernel, "-initrd", initramfs, "-append", options],
      ...["-drive", `if=none,id=disk,format=raw,file=${disk}`, "-device", "virtio-blk-pci,drive=disk"],
      ...["-netdev", `user,id=net${forwarding.join("")}`, "-device", "virtio-net-pci,netdev=net"],
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const started = performance.now();
  // Whatever ends this program, the guest must not stay behind.
  process.once("exit", () => child.kill("SIGKILL"));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const lines: string[] = [];
  child.stdout.setEncoding("utf8").on(
    "data",
    consoleLines((line) => void lines.push(line)),
  );
  const moment = async (): Promise<Moment> => ({
    seconds: (performance.now() - started) / 1000,
    cpuSeconds: await cpuSecondsOf(child.pid!),
  });
  try {
    return await Promise.race([
      use({ forwards, lines, moment }),
      ended.then(() => Promise.reject(new Error("QEMU ended"))),
    ]);
  } catch (error) {
    throw new Error(`${(error as Error).message}; the console:\n${lines.slice(-30).join("\n")}`, {
      cause: error,
    });
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}
