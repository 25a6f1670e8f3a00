/**
 * `./homing vm`: boots a relay in QEMU on this computer, with its ports reachable on 127.0.0.1, to try it
 * before it gets a machine, an address and DNS records of its own.
 */
import { existsSync, type Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import type { SignUpMode } from "../../appliance/sign-up-modes.ts";
import { buildImage } from "../../image/build.ts";
import { copyImage } from "../../image/copy-image.ts";
import { readHead } from "../../image/output-file.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import type { Architecture } from "../../image/spec.ts";
import { type Command, type CommandIo, parseCommandArgs, UsageError } from "../command.ts";
import { withProgress } from "../progress.ts";
import { type RelayFolder, readRelayFolder } from "../relay-folder.ts";
import { shellQuote } from "../shell-quote.ts";
import { connectionHelp, wantedPorts } from "../vm/connection-help.ts";
import { consoleLines } from "../vm/console.ts";
import { lockDisk } from "../vm/disk-lock.ts";
import { freePort, requireQemu, startMachine } from "../vm/machine.ts";
import { isOfUse, signUpOf } from "../vm/relay-page.ts";
import { changedSince, growDisk, trialDiskPath } from "../vm/trial-disk.ts";
import { createWaitingLine } from "../vm/waiting-line.ts";

/** Enough for the relay's services and a comfortable cache. */
const MEMORY_MEBIBYTES = 1024;
const MAX_CORES = 4;
/** A relay without acceleration needs this long to stop in order. */
const SHUTDOWN_MILLISECONDS = 90_000;
/** Said behind the seconds that pass; in 80 columns there is room for three digits of those. */
const WITHOUT_ACCELERATION = "1 to 3 minutes without acceleration";
/** The page on the console comes in one piece: after "homing: ready" this much silence is its end. */
const PAGE_MILLISECONDS = 1000;

/** There is no image that can be booted. */
class VmImageError extends Error {
  override name = "VmImageError";
}

export const command: Command = {
  name: "vm",
  summary: "boot a relay in QEMU on this computer",
  usage: "vm FOLDER|IMAGE [--fresh] [--console] [--mirror URL] [--cache DIR]",
  help: `
Boots the relay of FOLDER (made by ./homing init) or an IMAGE (made by ./homing build, of either target) in QEMU.
It runs on a disk of its own, NAME-trial.img in the current folder: made from the FOLDER, or a copy of the
IMAGE (also of a compressed one, .img.zst), which stays as it is. When that file is there already, it is booted with the accounts and mail on it. The
relay's ports are reachable on 127.0.0.1 only.

  --fresh        make the disk anew, without accounts and mail
  --console      show all that the machine prints on its serial console
  --mirror URL   as for ./homing build
  --cache DIR    as for ./homing build

Ctrl-C shuts the machine down. It uses the computer's hardware acceleration where that works; without it, a boot
takes one to three minutes.
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
  const isFolder = (await statOrExplain(given)).isDirectory();
  const relay = isFolder ? await readRelayFolder(given) : undefined;
  const architecture = relay ? "amd64" : await imageArchitecture(given);
  using waiting = createWaitingLine(io.stderr, io.env);
  const { note } = waiting;
  const disk = trialDiskPath(given);
  if (values.fresh && disk === resolve(given)) {
    throw new UsageError("--fresh makes a disk from a folder or an image; this is such a disk");
  }
  await using lock = await lockDisk(disk);
  requireQemu(architecture);
  if (values.fresh || !existsSync(disk)) {
    if (relay) await buildDisk(relay, disk, values, io);
    else {
      note(`Copying ${given} to ${disk} …`);
      waiting.wait("Copying");
      await copyImage(given, disk, "Make room in this folder, or start in another one.", io.signal);
      waiting.end();
    }
  } else {
    const sources = relay ? [...relay.files.keys()].map((name) => join(given, name)) : [given];
    const [changed] = await changedSince(disk, sources);
    if (changed)
      note(`${disk} is older than ${changed}: --fresh makes it anew, without its accounts and mail.`);
  }
  await growDisk(disk);

  const forwards = await Promise.all(
    wantedPorts(relay?.config).map(async ({ what, guestPort, wanted }) => ({
      what,
      guestPort,
      hostPort: await freePort(wanted),
    })),
  );
  const { promise: ready, resolve: isReady } = Promise.withResolvers<"ready">();
  let signUp: SignUpMode | undefined;
  let pageEnd: NodeJS.Timeout | undefined;
  const lines = consoleLines((line) => {
    if (values.console || isOfUse(line)) note(line);
    signUp = signUpOf(line) ?? signUp;
    if (!line.startsWith(pageEnd === undefined ? "homing: ready" : "homing:")) return;
    clearTimeout(pageEnd);
    pageEnd = setTimeout(() => isReady("ready"), PAGE_MILLISECONDS).unref();
  });
  note(`Booting ${disk} …`);
  waiting.wait("Starting the machine");
  const machine = await startMachine({
    disk,
    architecture,
    memoryMebibytes: MEMORY_MEBIBYTES,
    cores: Math.min(availableParallelism(), MAX_CORES),
    forwards,
    onConsole: lines,
    onNote: note,
  });
  if (machine.processId !== undefined) await lock.add(machine.processId);
  const isEmulated = machine.accelerator.startsWith("tcg");
  waiting.wait("Waiting until the relay is ready", isEmulated ? WITHOUT_ACCELERATION : "");
  const aborted = new Promise<"aborted">((done) => {
    if (io.signal.aborted) done("aborted");
    else io.signal.addEventListener("abort", () => done("aborted"), { once: true });
  });
  const ended = machine.ended.then(() => "ended" as const);
  let event = await Promise.race([ready, ended, aborted]);
  waiting.end();
  if (event === "ready") {
    io.stdout.write(connectionHelp(relay?.config, forwards, signUp));
    event = await Promise.race([ended, aborted]);
  } else if (event === "ended") {
    note("The machine ended before the relay was ready; --console shows all that it prints.");
    return 1;
  }
  if (event === "aborted") {
    note(
      `Shutting the relay down, ${SHUTDOWN_MILLISECONDS / 1000} s at most; Ctrl-C again ends it at once …`,
    );
    waiting.wait("Waiting until it has stopped");
    await machine.shutDown(SHUTDOWN_MILLISECONDS);
  }
  return 0;
}

async function statOrExplain(given: string): Promise<Stats> {
  return stat(given).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
    throw new VmImageError(
      `there is neither a relay folder nor an image ${given}. Make the folder with ./homing init DOMAIN --dir ` +
        `${shellQuote(given)}, or an image of one that is there with ./homing build`,
      { cause: error },
    );
  });
}

/** Makes the disk from a relay folder. */
async function buildDisk(
  { files }: RelayFolder,
  out: string,
  values: { mirror?: string | undefined; cache?: string | undefined },
  io: CommandIo,
): Promise<void> {
  const mirrors = await chooseMirrors({ mirror: values.mirror, env: io.env });
  await withProgress(io.stderr, (onProgress) =>
    buildImage({
      target: "vm",
      spec: rootfsSpec(),
      relay: files,
      out,
      lock: readLock(),
      cache: values.cache ?? defaultCacheDirectory(io.env),
      mirrors,
      onProgress,
      signal: io.signal,
    }),
  );
}

/** Images for virtual machines have a GPT, those for Raspberry Pis an MBR (image/targets). */
async function imageArchitecture(path: string): Promise<Architecture> {
  const sectors = await readHead(path);
  if (sectors.toString("latin1", 512, 520) === "EFI PART") return "amd64";
  if (sectors.readUInt16LE(510) === 0xaa55) return "arm64";
  throw new VmImageError(`${path} is not a disk image: it has no partition table`);
}
