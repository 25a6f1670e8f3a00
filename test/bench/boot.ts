/**
 * From power on to the first login, beside the same system without our services: `node installer/launch.mjs --script
 * test/bench/boot.ts [--runs 3]`. Each run boots two new disks of the vm image in QEMU without acceleration, kernel and
 * initramfs handed to it, so that no firmware's time is in it: the relay until a client has logged in by IMAP, which
 * makes its account; and the same root file system with our units, Postfix and Dovecot masked, until systemd has reached
 * multi-user.target, when Debian would let somebody log in. Both format their data partition. CPU is the emulator's.
 */
import { spawn } from "node:child_process";
import { copyFile, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ports } from "../../appliance/layout.ts";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { buildImage } from "../../image/build.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { kernelOptions } from "../../image/targets/target.ts";
import { createRelayFolder } from "../../installer/relay-folder.ts";
import { consoleLines } from "../../installer/vm/console.ts";
import { findProgram, freePort } from "../../installer/vm/machine.ts";
import { inventAccount } from "../support/accounts.ts";
import { withInbox } from "../support/encrypted-letter.ts";
import { cpuSecondsOf } from "../support/process-cpu.ts";
import { waitFor } from "../support/wait.ts";
import { firstGreeting } from "./first-greeting.ts";
import { printMedians } from "./tables.ts";

const DOMAIN = "_bench.test";
/** A relay takes new accounts only while it has a gigabyte free for mail. */
const DISK_BYTES = 4 * 2 ** 30;
const TIMEOUT = 600_000;

/** Ports of 127.0.0.1 that lead into the machine. */
type Forwards = Readonly<{ imap: number; imaps: number }>;
type Boot = Readonly<{ seconds: number; cpuSeconds: number }>;
type System = Readonly<{
  name: string;
  options: string;
  /** Waits for the login; `lines` are those of the console so far. */
  login: (forwards: Forwards, lines: readonly string[]) => Promise<unknown>;
}>;

/** Every unit that is ours, and the mail servers, which do not start without the configuration that ours write. */
const masked = [
  ...rootfsSpec().files.flatMap(({ path }) => /\/(homing[\w-]*\.[a-z]+)$/.exec(path)?.[1] ?? []),
  ...["dovecot.service", "postfix.service"],
].filter((name) => /\.(service|socket|timer|target|path)$/.test(name));

const systems: readonly System[] = [
  {
    name: "the relay, to the first login by IMAP",
    options: "",
    login: async ({ imap, imaps }) => {
      await firstGreeting(imap, TIMEOUT);
      await waitFor("a login by IMAP", TIMEOUT, () =>
        withInbox({ imaps, submissions: 0 }, inventAccount(DOMAIN), async () => true),
      );
    },
  },
  {
    name: "without our services, to multi-user.target",
    options: ["systemd.show_status=true", ...masked.map((unit) => `systemd.mask=${unit}`)].join(" "),
    login: (_, lines) =>
      waitFor("multi-user.target", TIMEOUT, () =>
        lines.some((line) => line.includes("Reached target") && line.includes("multi-user.target")),
      ),
  },
];

/** One boot of a new disk. Throws when it takes too long, with the console's last lines. */
async function boot(
  work: string,
  relay: ReadonlyMap<string, Uint8Array>,
  { options, login }: System,
): Promise<Boot> {
  const program = findProgram("qemu-system-x86_64");
  if (program === undefined) throw new Error("qemu-system-x86_64 is missing");
  const disk = join(work, "disk.img");
  await copyFile(join(work, "fresh.img"), disk);
  await truncate(disk, DISK_BYTES);
  const forwards = { imap: await freePort(0), imaps: await freePort(0) };
  const forward = (name: keyof Forwards) => `,hostfwd=tcp:127.0.0.1:${forwards[name]}-:${ports[name]}`;
  const child = spawn(
    program,
    [
      ...["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"],
      ...["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"],
      ...["-kernel", join(work, "kernel"), "-initrd", join(work, "initrd")],
      ...["-append", `${kernelOptions(relay, ["ttyS0,115200"])} ${options}`],
      ...["-drive", `if=none,id=disk,format=raw,file=${disk}`, "-device", "virtio-blk-pci,drive=disk"],
      ...["-netdev", `user,id=net${forward("imap")}${forward("imaps")}`],
      ...["-device", "virtio-net-pci,netdev=net"],
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
  try {
    await Promise.race([login(forwards, lines), ended.then(() => Promise.reject(new Error("QEMU ended")))]);
    const seconds = (performance.now() - started) / 1000;
    return { seconds, cpuSeconds: await cpuSecondsOf(child.pid!) };
  } catch (error) {
    throw new Error(`${(error as Error).message}; the console:\n${lines.slice(-30).join("\n")}`, {
      cause: error,
    });
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

const { values } = parseArgs({ options: { runs: { type: "string", default: "3" } } });
const runs = Number(values.runs);
const work = await mkdtemp(join(tmpdir(), "homing-bench-"));
try {
  const { files } = await createRelayFolder(join(work, "relay"), DOMAIN, {
    signUp: { maxLoadAverage: 1000 },
  });
  const image = await buildImage({
    target: "vm",
    spec: rootfsSpec(),
    relay: files,
    out: join(work, "fresh.img"),
    lock: readLock(),
    cache: defaultCacheDirectory(),
    mirrors: await chooseMirrors({ env: process.env }),
  });
  await writeFile(join(work, "kernel"), image.rootfs.boot.kernel);
  await writeFile(join(work, "initrd"), image.rootfs.boot.initramfs);
  console.log(`load ${loadavg()[0]!.toFixed(1)} before, medians of ${runs}\n`);
  const boots = new Map<string, Boot[]>(systems.map(({ name }) => [name, []]));
  for (let run = 0; run < runs; run++)
    for (const system of systems) boots.get(system.name)!.push(await boot(work, files, system));
  printMedians(
    [
      ["CPU s", 1, ({ cpuSeconds }) => cpuSeconds],
      ["seconds", 1, ({ seconds }) => seconds],
    ],
    boots,
  );
} finally {
  await rm(work, { recursive: true, force: true });
}
