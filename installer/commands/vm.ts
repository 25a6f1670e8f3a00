/**
 * `./homing vm`: boots a relay in QEMU on this computer, with its ports reachable on 127.0.0.1, to try it
 * before it gets a machine, an address and DNS records of its own.
 */
import { existsSync } from "node:fs";
import { open, stat, truncate } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, resolve } from "node:path";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { buildImage } from "../../image/build.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import type { Architecture } from "../../image/spec.ts";
import { type Command, type CommandIo, parseCommandArgs, UsageError } from "../command.ts";
import { createProgress } from "../progress.ts";
import { type RelayFolder, readRelayFolder } from "../relay-folder.ts";
import { connectionHelp, wantedPorts } from "../vm/connection-help.ts";
import { consoleLines } from "../vm/console.ts";
import { freePort, startMachine } from "../vm/machine.ts";

/** Room for mail in a trial; the file is sparse and only takes what is really used. */
const DISK_BYTES = 4 * 2 ** 30;
/** Enough for the relay's services and a comfortable cache. */
const MEMORY_MEBIBYTES = 1024;
const MAX_CORES = 4;
/** A relay without acceleration needs this long to stop in order. */
const SHUTDOWN_MILLISECONDS = 90_000;

/** The file is no image that can be booted. */
class VmImageError extends Error {
  override name = "VmImageError";
}

export const command: Command = {
  name: "vm",
  summary: "boot a relay in QEMU on this computer",
  usage: "vm FOLDER|IMAGE [--fresh] [--console] [--mirror URL] [--cache DIR]",
  help: `
Boots the relay of FOLDER (made by ./homing init) or an IMAGE (made by ./homing build, of either target) in QEMU.
For a FOLDER the image is made first, as NAME-vm.img in the current folder; when that file is there already, it
is booted as it is, with its accounts and mail. The relay's ports are reachable on 127.0.0.1 only.

  --fresh        make the image anew, without accounts and mail
  --console      show all that the machine prints on its serial console
  --mirror URL   as for ./homing build
  --cache DIR    as for ./homing build

Ctrl-C shuts the machine down. It uses the computer's hardware acceleration where that works; without it, a boot
takes about a minute.
`,
  run,
};

async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommandArgs(args, {
    fresh: { type: "boolean" },
    console: { type: "boolean" },
    mirror: { type: "string" },
    cache: { type: "string" },
  });
  const [given, surplus] = positionals;
  if (given === undefined) throw new UsageError("which relay? Give its folder or its image");
  if (surplus !== undefined) throw new UsageError(`unexpected argument “${surplus}”`);
  const isFolder = (await stat(given)).isDirectory();
  if (values.fresh && !isFolder)
    throw new UsageError("--fresh makes an image from a folder; this is an image");
  const relay = isFolder ? await readRelayFolder(given) : undefined;
  const disk = relay ? await folderImage(given, relay, values, io) : resolve(given);
  const architecture = await imageArchitecture(disk);
  if ((await stat(disk)).size < DISK_BYTES) await truncate(disk, DISK_BYTES);

  const forwards = await Promise.all(
    wantedPorts(relay?.config).map(async ({ what, guestPort, wanted }) => ({
      what,
      guestPort,
      hostPort: await freePort(wanted),
    })),
  );
  const note = (text: string) => io.stderr.write(`${text}\n`);
  const { promise: ready, resolve: isReady } = Promise.withResolvers<"ready">();
  const lines = consoleLines((line) => {
    if (values.console || line.startsWith("homing:")) note(line);
    if (line.startsWith("homing: ready")) isReady("ready");
  });
  note(`Booting ${disk} …`);
  const machine = await startMachine({
    disk,
    architecture,
    memoryMebibytes: MEMORY_MEBIBYTES,
    cores: Math.min(availableParallelism(), MAX_CORES),
    forwards,
    onConsole: lines,
    onNote: note,
  });
  const aborted = new Promise<"aborted">((done) => {
    if (io.signal.aborted) done("aborted");
    else io.signal.addEventListener("abort", () => done("aborted"), { once: true });
  });
  const ended = machine.ended.then(() => "ended" as const);
  let event = await Promise.race([ready, ended, aborted]);
  if (event === "ready") {
    io.stdout.write(connectionHelp(relay?.config, forwards));
    event = await Promise.race([ended, aborted]);
  }
  if (event === "aborted") {
    note("Shutting the relay down …");
    await machine.shutDown(SHUTDOWN_MILLISECONDS);
  }
  return 0;
}

/** The image of a relay folder, made when it is missing or when asked for. */
async function folderImage(
  folder: string,
  { files }: RelayFolder,
  values: { fresh?: boolean | undefined; mirror?: string | undefined; cache?: string | undefined },
  io: CommandIo,
): Promise<string> {
  const out = resolve(`${basename(resolve(folder))}-vm.img`);
  if (existsSync(out) && !values.fresh) return out;
  const progress = createProgress(io.stderr);
  try {
    const { path } = await buildImage({
      target: "vm",
      spec: rootfsSpec(),
      relay: files,
      out,
      lock: readLock(),
      cache: values.cache ?? defaultCacheDirectory(io.env),
      mirrors: await chooseMirrors({ mirror: values.mirror, env: io.env }),
      onProgress: progress.report,
      signal: io.signal,
    });
    progress.end();
    return path;
  } catch (error) {
    progress.end(false);
    throw error;
  }
}

/** Images for virtual machines have a GPT, those for Raspberry Pis an MBR (image/targets). */
async function imageArchitecture(path: string): Promise<Architecture> {
  await using file = await open(path, "r");
  const sectors = Buffer.alloc(1024);
  await file.read(sectors, 0, sectors.length, 0);
  if (sectors.toString("latin1", 512, 520) === "EFI PART") return "amd64";
  if (sectors.readUInt16LE(510) === 0xaa55) return "arm64";
  throw new VmImageError(`${path} is not a disk image: it has no partition table`);
}
