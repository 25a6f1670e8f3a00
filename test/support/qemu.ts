/**
 * Finished images in QEMU, for ring 3 (test/boot): builds the image of a fresh relay, boots it and waits for
 * the line "homing: ready" on its console. The console of every boot is kept in test/output/boot.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync } from "node:fs";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ports } from "../../appliance/layout.ts";
import type { RelayOverrides } from "../../appliance/relay-config.ts";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { buildImage, type Image } from "../../image/build.ts";
import { readDeviceTree, writeDeviceTree } from "../../image/formats/device-tree.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import type { Architecture } from "../../image/spec.ts";
import { kernelOptions, type TargetName } from "../../image/targets/target.ts";
import { withProgress } from "../../installer/progress.ts";
import { createRelayFolder } from "../../installer/relay-folder.ts";
import { connectionHelp, wantedPorts } from "../../installer/vm/connection-help.ts";
import { consoleLines } from "../../installer/vm/console.ts";
import { oneThread, threadEach } from "../../installer/vm/emulation.ts";
import { findFirmware, firmwarePackage } from "../../installer/vm/firmware.ts";
import { findProgram, firmwareArguments, freePort, startMachine } from "../../installer/vm/machine.ts";
import { emulatedPc } from "./emulated-pc.ts";
import { emulatedPi4 } from "./emulated-pi-4.ts";
import type { Emulator } from "./newer-qemu.ts";
import { readTestLock } from "./test-lock.ts";

/** Without hardware acceleration, beside other work, on two cores. */
const READY_TIMEOUT = 600_000;
/** The line of a relay that has all its services. */
const READY = "homing: ready";
const SHUTDOWN_TIMEOUT = 180_000;

const emulators: Readonly<Record<Architecture, string>> = {
  amd64: "qemu-system-x86_64",
  arm64: "qemu-system-aarch64",
};

/** Why machines of this architecture cannot be booted here; undefined when they can. */
export function missingForQemu(architecture: Architecture, firmware = true): string | undefined {
  const program = findProgram(emulators[architecture]);
  if (program === undefined) return `${emulators[architecture]} is missing`;
  if (firmware && findFirmware(architecture, program) === undefined) {
    return `UEFI firmware is missing (Debian: ${firmwarePackage[architecture]})`;
  }
  return undefined;
}

export type TestImage = AsyncDisposable &
  Readonly<{ domain: string; image: Image; folder: string; relay: ReadonlyMap<string, Uint8Array> }>;

/**
 * Builds the image of a new relay in a folder of its own, with settings other than the defaults if given, and its file
 * grown to `diskBytes` if given.
 */
export async function buildTestImage(
  target: TargetName,
  domain: string,
  diskBytes?: number,
  settings: RelayOverrides = {},
): Promise<TestImage> {
  const folder = await mkdtemp(join(tmpdir(), "homing-boot-"));
  try {
    // A machine that has just started under emulation is busier than one that takes accounts.
    const signUp = { maxLoadAverage: 1000, ...settings.signUp };
    const { files } = await createRelayFolder(join(folder, "relay"), domain, { ...settings, signUp });
    const mirrors = await chooseMirrors({ env: process.env });
    const image = await withProgress(process.stderr, (onProgress) =>
      buildImage({
        spec: rootfsSpec(),
        lock: readTestLock(),
        cache: defaultCacheDirectory(process.env),
        mirrors,
        target,
        relay: files,
        out: join(folder, `${target}.img`),
        onProgress,
      }),
    );
    if (diskBytes !== undefined) await truncate(image.path, diskBytes);
    return {
      domain,
      image,
      folder,
      relay: files,
      [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

export type BootedMachine = Readonly<{
  /** Every line of the console so far. */
  lines: readonly string[];
  /** From power on to "homing: ready", in seconds. */
  bootSeconds: number;
  /** Ports of 127.0.0.1 by the relay's own; none on a machine without network. */
  port: (guestPort: number) => number;
  /** What `./homing vm` would tell a person now; empty on a machine without network. */
  help: string;
  shutDown: () => Promise<void>;
  /** As by a power cut. */
  kill: () => Promise<void>;
}>;

/**
 * Boots an image by UEFI, with further disks when they are given, and waits until the relay is ready. Throws with
 * the console's last lines.
 */
export async function bootImage(
  { image }: TestImage,
  architecture: Architecture,
  name: string,
  {
    otherDisks = [],
    memoryMebibytes = 1024,
  }: { otherDisks?: readonly string[]; memoryMebibytes?: number } = {},
): Promise<BootedMachine> {
  // Those of `./homing vm`, at any free ports.
  const forwards = await Promise.all(
    wantedPorts(undefined).map(async (port) => ({ ...port, hostPort: await freePort(0) })),
  );
  const watch = watchConsole(name);
  const machine = await startMachine({
    disk: image.path,
    otherDisks,
    architecture,
    memoryMebibytes,
    cores: 2,
    forwards,
    onConsole: watch.onConsole,
    onNote: watch.onConsole,
  });
  const kill = machine.kill;
  const bootSeconds = await watch.ready(machine.ended, kill);
  return {
    lines: watch.lines,
    bootSeconds,
    port: (guestPort) => {
      const forward = forwards.find((one) => one.guestPort === guestPort);
      if (forward === undefined) throw new Error(`port ${guestPort} is not forwarded`);
      return forward.hostPort;
    },
    help: connectionHelp(undefined, forwards),
    shutDown: () => machine.shutDown(SHUTDOWN_TIMEOUT),
    kill,
  };
}

/**
 * Boots an image as the SD card of a Raspberry Pi 3. QEMU has none of the Pi's firmware: kernel, device tree and
 * initramfs are handed to it as the firmware would, from the same build. The machine has no network.
 */
export async function bootRaspberryPi3(image: TestImage, name: string): Promise<BootedMachine> {
  const tree = image.image.rootfs.boot.deviceTrees.get("bcm2837-rpi-3-b.dtb")!;
  return bootRaspberryPi(image, name, [emulators.arm64], "raspi3b", tree);
}

/** The same as a Raspberry Pi 4, with the device tree that QEMU can serve. */
export async function bootRaspberryPi4(
  image: TestImage,
  name: string,
  emulator: Emulator,
): Promise<BootedMachine> {
  const tree = readDeviceTree(image.image.rootfs.boot.deviceTrees.get("bcm2711-rpi-4-b.dtb")!);
  return bootRaspberryPi(image, name, emulator, "raspi4b", writeDeviceTree(emulatedPi4(tree)));
}

async function bootRaspberryPi(
  { image, folder, relay }: TestImage,
  name: string,
  [program, ...words]: Emulator,
  machine: "raspi3b" | "raspi4b",
  deviceTree: Uint8Array,
): Promise<BootedMachine> {
  const { kernel, initramfs } = image.rootfs.boot;
  const pieces = { kernel, initrd: initramfs, dtb: deviceTree };
  for (const [file, content] of Object.entries(pieces)) await writeFile(join(folder, file), content);
  const options = [
    // Both of the Pi's serial ports: which one QEMU shows first depends on the device tree.
    kernelOptions(relay, ["ttyAMA0,115200", "ttyAMA1,115200"]),
    // QEMU's USB controller stalls Linux' driver for minutes.
    "module_blacklist=dwc2",
  ].join(" ");
  return bootByHand(name, program, [
    ...words,
    ...["-machine", machine, "-accel", threadEach],
    ...["-kernel", join(folder, "kernel"), "-initrd", join(folder, "initrd"), "-dtb", join(folder, "dtb")],
    ...["-append", options, "-drive", `if=sd,format=raw,file=${image.path}`],
  ]);
}

/** What a hypervisor gives a PC: QEMU's names of machine, disk controller and network card. */
export type PcHardware = Readonly<{
  firmware: "BIOS" | "UEFI";
  machine: "pc" | "q35";
  /** Arguments that attach the drive "disk". */
  disk: readonly string[];
  /** Model of the network card. */
  network: string;
}>;

/**
 * Boots the vm image on other hardware than `./homing vm` gives it, until a line of the console begins with `until`;
 * the image stays as it is.
 */
export async function bootPc(
  { image, folder }: TestImage,
  hardware: PcHardware,
  name: string,
  until = READY,
): Promise<BootedMachine> {
  const hostPort = await freePort(0);
  const forward = `hostfwd=tcp:127.0.0.1:${hostPort}-:${ports.imaps}`;
  const qemu = [
    ...emulatedPc(hardware.machine, oneThread),
    ...(hardware.firmware === "UEFI"
      ? await firmwareArguments(findFirmware("amd64", findProgram(emulators.amd64)!)!, folder)
      : []),
    ...["-drive", `if=none,id=disk,format=raw,snapshot=on,file=${image.path}`, ...hardware.disk],
    ...["-netdev", `user,id=net,${forward}`, "-device", `${hardware.network},netdev=net`],
  ];
  const booted = await bootByHand(name, emulators.amd64, qemu, until);
  return {
    ...booted,
    port: (guestPort) => {
      if (guestPort !== ports.imaps) throw new Error(`port ${guestPort} is not forwarded`);
      return hostPort;
    },
  };
}

/** Starts QEMU with a console and nothing else but what the arguments say; without network, there are no ports. */
async function bootByHand(
  name: string,
  program: string,
  hardware: readonly string[],
  until = READY,
): Promise<BootedMachine> {
  const watch = watchConsole(name, until);
  const child = spawn(
    program,
    [...hardware, ...["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  child.stdout.setEncoding("utf8").on("data", watch.onConsole);
  child.stderr.setEncoding("utf8").on("data", watch.onConsole);
  const ended = endOf(child);
  const kill = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  const bootSeconds = await watch.ready(ended, kill);
  return {
    lines: watch.lines,
    bootSeconds,
    port: () => {
      throw new Error("this machine has no network");
    },
    help: "",
    shutDown: kill,
    kill,
  };
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
}

function watchConsole(name: string, until = READY) {
  const output = join(import.meta.dirname, "..", "output", "boot");
  mkdirSync(output, { recursive: true });
  const logFile = join(output, `${name}.log`);
  const started = performance.now();
  const lines: string[] = [];
  const verdict = Promise.withResolvers<"ready" | "not ready">();
  const split = consoleLines((line) => {
    lines.push(line);
    appendFileSync(logFile, `${((performance.now() - started) / 1000).toFixed(1).padStart(6)} ${line}\n`);
    if (line.startsWith(until)) verdict.resolve("ready");
    if (line.startsWith("homing: NOT READY")) verdict.resolve("not ready");
  });
  appendFileSync(logFile, `${existsSync(logFile) ? "\n" : ""}=== ${new Date().toISOString()}\n`);

  /** Resolves to the seconds it took; otherwise ends the machine and throws. */
  async function ready(ended: Promise<void>, kill: () => Promise<void>): Promise<number> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), READY_TIMEOUT);
    });
    const outcome = await Promise.race([verdict.promise, late, ended.then(() => "ended" as const)]);
    clearTimeout(timer);
    if (outcome === "ready") return (performance.now() - started) / 1000;
    await kill();
    const what = {
      late: `was not ready after ${READY_TIMEOUT / 1000} s`,
      ended: "ended before it was ready",
      "not ready": "came up without all its services",
    }[outcome];
    throw new Error(`the machine ${name} ${what}; its console (${logFile}):\n${lines.slice(-40).join("\n")}`);
  }
  return { lines, onConsole: split, ready };
}
