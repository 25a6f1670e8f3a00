/**
 * Starts one virtual machine in QEMU: called by `./homing vm` and by the boot tests. Uses the computer's hardware
 * acceleration when it really works and QEMU's own translation otherwise; some hosts offer a /dev/kvm that
 * fails at the first instruction it has to emulate, which QEMU reports on stderr while the guest hangs.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { constants, existsSync } from "node:fs";
import { access, copyFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import type { Readable } from "node:stream";
import type { Architecture } from "../../image/spec.ts";
import { makeTemporaryFolder } from "../../image/temporary-folder.ts";
import { emulatedProcessor, emulation, oneThread } from "./emulation.ts";
import { findFirmware, firmwarePackage } from "./firmware.ts";
import { type Control, controlMachine } from "./machine-control.ts";

export type Forward = Readonly<{ hostPort: number; guestPort: number }>;

export type MachineOptions = Readonly<{
  /** Raw disk image; the machine writes to it. */
  disk: string;
  /** Further disks, which the machine sees before the one it starts from. */
  otherDisks?: readonly string[];
  architecture: Architecture;
  memoryMebibytes: number;
  cores: number;
  /** TCP ports of 127.0.0.1 that lead into the machine. */
  forwards: readonly Forward[];
  /** Gets the serial console as it comes, and one line when acceleration had to be given up. */
  onConsole: (text: string) => void;
  onNote: (text: string) => void;
}>;

export type Machine = Control &
  Readonly<{ accelerator: string /** QEMU's. */; processId: number | undefined }>;

/** QEMU or its firmware is missing; the message says how to install it. */
export class MachineError extends Error {
  override name = "MachineError";
}

const programs: Readonly<Record<Architecture, string>> = {
  amd64: "qemu-system-x86_64",
  arm64: "qemu-system-aarch64",
};
const programPackages: Readonly<Record<Architecture, string>> = {
  amd64: "qemu-system-x86",
  arm64: "qemu-system-arm",
};

/** QEMU's words when the host's KVM cannot run the guest (the process then stays, the guest stands still). */
const BROKEN_KVM = /KVM internal error|emulation failure|failed to initialize kvm|Could not access KVM/i;

/** QEMU's words when another QEMU has the disk. */
const DISK_IN_USE = /Failed to get "(?:write|consistent read)" lock/;

/** More of them would only take turns more often. */
const MAX_CORES_IN_ONE_THREAD = 2;

/** Full path of a program in PATH, or undefined. */
export function findProgram(name: string, path = process.env.PATH ?? ""): string | undefined {
  const file = process.platform === "win32" ? `${name}.exe` : name;
  const folders = path.split(delimiter);
  if (process.platform === "win32") folders.push("C:\\Program Files\\qemu");
  return folders.map((folder) => join(folder, file)).find((candidate) => existsSync(candidate));
}

/** Accelerators worth trying for a guest of `architecture`, the best first; QEMU's own (tcg) always works. */
async function accelerators(architecture: Architecture): Promise<string[]> {
  const software = emulation[architecture];
  const native = process.arch === (architecture === "amd64" ? "x64" : "arm64");
  if (!native) return [software];
  if (process.platform === "darwin") return ["hvf", software];
  if (process.platform === "win32") return ["whpx", software];
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
    return ["kvm", software];
  } catch {
    return [software];
  }
}

/** QEMU's arguments; `state` is a folder for the firmware's variables and the control socket. */
function qemuArguments(
  options: MachineOptions,
  accelerator: string,
  firmware: readonly string[],
  controlSocket: string,
): string[] {
  const forwards = options.forwards.map(
    ({ hostPort, guestPort }) => `,hostfwd=tcp:127.0.0.1:${hostPort}-:${guestPort}`,
  );
  const virtualized = !accelerator.startsWith("tcg");
  const cpu = virtualized ? "host" : emulatedProcessor[options.architecture];
  const cores = accelerator === oneThread ? Math.min(options.cores, MAX_CORES_IN_ONE_THREAD) : options.cores;
  return [
    ...["-machine", options.architecture === "amd64" ? "q35" : "virt", "-accel", accelerator, "-cpu", cpu],
    ...["-smp", String(cores), "-m", String(options.memoryMebibytes)],
    ...["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"],
    ...firmware,
    ...(options.otherDisks ?? []).flatMap((path, index) => [
      ...["-drive", driveOptions(`other${index}`, path), "-device", `virtio-blk-pci,drive=other${index}`],
    ]),
    ...["-drive", driveOptions("disk", options.disk), "-device", "virtio-blk-pci,drive=disk,bootindex=0"],
    ...["-netdev", `user,id=net${forwards.join("")}`, "-device", "virtio-net-pci,netdev=net"],
    ...["-device", "virtio-rng-pci"],
    ...["-qmp", `unix:${controlSocket},server=on,wait=off`],
  ];
}

function driveOptions(id: string, path: string): string {
  return `if=none,id=${id},format=raw,discard=unmap,file=${path.replaceAll(",", ",,")}`;
}

/**
 * QEMU and its UEFI firmware for machines of this architecture. Throws MachineError, which says how to install them.
 */
export function requireQemu(architecture: Architecture) {
  const program = findProgram(programs[architecture]);
  if (!program) {
    throw new MachineError(
      `${programs[architecture]} was not found. Install QEMU (Debian: apt install ` +
        `${programPackages[architecture]} ${firmwarePackage[architecture]}; macOS: brew install qemu).`,
    );
  }
  const firmware = findFirmware(architecture, program);
  if (!firmware) {
    throw new MachineError(
      `QEMU's UEFI firmware was not found. Install it (Debian: apt install ${firmwarePackage[architecture]}).`,
    );
  }
  return { program, firmware };
}

/** Starts the machine. Throws MachineError when QEMU or its firmware is not installed, or the disk is in use. */
export async function startMachine(options: MachineOptions): Promise<Machine> {
  const { program, firmware } = requireQemu(options.architecture);
  const state = await makeTemporaryFolder("homing-vm-");
  try {
    const controlSocket = join(state, "qmp");
    const choices = await accelerators(options.architecture);
    for (const [index, accelerator] of choices.entries()) {
      const last = index === choices.length - 1;
      const flash = await firmwareArguments(firmware, state);
      const child = spawn(program, qemuArguments(options, accelerator, flash, controlSocket), {
        stdio: ["ignore", "pipe", "pipe"],
        // Its own group: Ctrl-C in the terminal reaches us only, and we shut the guest down in order.
        detached: process.platform !== "win32",
      });
      // Whatever ends this program, the guest must not stay behind.
      const endWithUs = () => child.kill("SIGKILL");
      process.once("exit", endWithUs);
      child.once("exit", () => process.off("exit", endWithUs));
      const outcome = await watchStart(child, options, last);
      if (!outcome.started && DISK_IN_USE.test(outcome.error)) {
        throw new MachineError(diskInUse(options.disk));
      }
      if (outcome.started) {
        const afterwards = () => rm(state, { recursive: true, force: true });
        return { accelerator, processId: child.pid, ...controlMachine(child, controlSocket, afterwards) };
      }
      if (last) throw new MachineError(`QEMU ended at once: ${outcome.error}`);
      options.onNote(
        `Hardware acceleration (${accelerator}) does not work on this computer: ${firstLine(outcome.error)}. Going on without it.`,
      );
    }
    throw new MachineError("no accelerator to try");
  } catch (error) {
    await rm(state, { recursive: true, force: true });
    throw error;
  }
}

const diskInUse = (disk: string): string => `${disk} is in use: another machine runs on it`;

const firstLine = (text: string): string => text.trim().split("\n")[0] ?? "";

/** QEMU's arguments for a UEFI firmware; a copy of its variables is made in the folder `state`. */
export async function firmwareArguments(
  firmware: Readonly<{ code: string; variables?: string }>,
  state: string,
): Promise<string[]> {
  if (!firmware.variables) return ["-bios", firmware.code];
  const variables = join(state, "variables.fd");
  await copyFile(firmware.variables, variables);
  return [
    ...["-drive", `if=pflash,format=raw,readonly=on,file=${firmware.code}`],
    ...["-drive", `if=pflash,format=raw,file=${variables}`],
  ];
}

type StartOutcome = { started: true } | { started: false; error: string };

/**
 * Waits for the first sign of the guest's life on its console. Without an accelerator left to fall back to,
 * the machine counts as started as soon as QEMU runs; its errors then go to the notes.
 */
function watchStart(child: ChildProcess, options: MachineOptions, last: boolean): Promise<StartOutcome> {
  const stdout = child.stdout as Readable;
  const stderr = child.stderr as Readable;
  stdout.setEncoding("utf8").on("data", options.onConsole);
  let errors = "";
  // What QEMU says while it may still have to go on without acceleration is only of interest when it starts.
  let isHeld = !last;
  return new Promise((resolve) => {
    const giveUp = () => {
      child.kill("SIGKILL");
      resolve({ started: false, error: errors });
    };
    stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
      if (!last && BROKEN_KVM.test(errors)) giveUp();
      else if (!isHeld) options.onNote(DISK_IN_USE.test(text) ? diskInUse(options.disk) : text.trimEnd());
    });
    child.once("error", (error) => {
      errors += error.message;
      resolve({ started: false, error: errors });
    });
    child.once("exit", () => resolve({ started: false, error: errors || "no message" }));
    if (last) child.once("spawn", () => resolve({ started: true }));
    else {
      stdout.once("data", () => {
        isHeld = false;
        if (errors !== "" && !BROKEN_KVM.test(errors)) options.onNote(errors.trimEnd());
        resolve({ started: true });
      });
    }
  });
}

/** A free TCP port of 127.0.0.1, `wanted` if it is free. */
export async function freePort(wanted: number): Promise<number> {
  const tryPort = (port: number) =>
    new Promise<number | undefined>((resolve, reject) => {
      const server = createServer();
      server.once("error", (error: NodeJS.ErrnoException) =>
        error.code === "EADDRINUSE" || error.code === "EACCES" ? resolve(undefined) : reject(error),
      );
      server.listen({ host: "127.0.0.1", port, exclusive: true }, () => {
        const address = server.address();
        server.close(() => resolve(typeof address === "object" && address ? address.port : undefined));
      });
    });
  const port = (await tryPort(wanted)) ?? (await tryPort(0));
  if (port === undefined) throw new MachineError("no TCP port is free on 127.0.0.1");
  return port;
}
