/**
 * `./homing lock`: renews the list of Debian packages that images are made of, for both architectures, and
 * says what changed. For those who maintain Homing, and for whoever wants the newest security fixes at once.
 */

import { fileURLToPath } from "node:url";
import { writeFileWhole } from "../../image/packages/cache.ts";
import { LockError, lockFile, lockText, type PackageLock, readLock } from "../../image/packages/lock.ts";
import {
  changeKind,
  changeText,
  lockChanges,
  lockTotal,
  totalText,
} from "../../image/packages/lock-changes.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { type RefreshOptions, refreshLock } from "../../image/packages/refresh.ts";
import { whyNothingAside } from "../../image/written-aside.ts";
import { type Command, type CommandIo, parseCommandArgs, print, UsageError } from "../command.ts";
import { withProgress } from "../progress.ts";

export const command: Command = {
  name: "lock",
  summary: "renew the list of Debian packages that images are made of",
  usage: "lock [--mirror URL] [--json]",
  help: `
Reads the newest package indexes of Debian 13, checks their signatures, finds the packages that images need and
writes image/packages/lock.json. Prints each package that changed, for both architectures: its old and new version, and
by how much its download grew or shrank. Images built from then on have the new packages; relays that already run do
not change. To take the newest packages for one image only, say ./homing build … --refresh.

  --mirror URL   the Debian mirror to ask, like https://ftp.debian.org/debian (default: DEBIAN_MIRROR and
                 DEBIAN_SECURITY_MIRROR from the environment, else the one of Debian that this computer's apt uses,
                 and else https://ftp.debian.org/debian)
  --json         for scripts: one JSON object a line, its "event" is "change", "total" (of an architecture) or "done"
`,

  async run(args: readonly string[], io: CommandIo): Promise<number> {
    const { values, positionals } = parseCommandArgs(args, {
      mirror: { type: "string" },
      json: { type: "boolean" },
    });
    if (positionals.length > 0) throw new UsageError(`unexpected argument “${positionals[0]}”`);
    const mirrors = await chooseMirrors({ mirror: values.mirror, env: io.env });
    await renewLock(io, { mirrors, json: values.json ?? false });
    return 0;
  },
};

export type RenewOptions = Pick<RefreshOptions, "mirrors" | "keys" | "select"> &
  Readonly<{
    /** One JSON object a line instead of text. */
    json: boolean;
    /** The project's lock file unless given. */
    file?: string;
  }>;

/** Writes the lock file anew and tells what changed. Throws what refreshLock throws; the file is as it was then. */
export async function renewLock(io: CommandIo, options: RenewOptions): Promise<void> {
  const { json, file = fileURLToPath(lockFile), ...sources } = options;
  await checkWritable(file);
  const before = readOldLock(file, io);
  const after = await withProgress(io.stderr, (onProgress) =>
    refreshLock({ ...sources, previous: before, now: Date.now() / 1000, onProgress, signal: io.signal }),
  );
  await writeFileWhole(
    file,
    Buffer.from(lockText(after)),
    "Make room there, then run the same command again.",
  );
  const changes = lockChanges(before, after);
  const totals = (["amd64", "arm64"] as const).map((architecture) => lockTotal(architecture, before, after));
  const lines = json
    ? [
        ...changes.map((change) => ({ event: "change", kind: changeKind(change), ...change })),
        ...totals.map((total) => ({ event: "total", ...total })),
        { event: "done", file, changes: changes.length },
      ].map((event) => JSON.stringify(event))
    : [
        ...changes.map(changeText),
        ...totals.map(totalText),
        changes.length === 0 ? "No package changed." : "The next ./homing build uses the new packages.",
      ];
  await print(io.stdout, `${lines.join("\n")}\n`);
}

/** Before the indexes are fetched, which takes minutes. Throws LockError. */
async function checkWritable(file: string): Promise<void> {
  const reason = await whyNothingAside(file);
  if (reason === undefined) return;
  throw new LockError(
    `the list of packages ${file} cannot be written: its folder: ${reason}. Take a copy of Homing in a folder that ` +
      "you can write to; for one image alone, say ./homing build … --refresh.",
  );
}

/** A broken or missing lock file is what this command mends; it must not stop it. */
function readOldLock(file: string, io: CommandIo): PackageLock | undefined {
  try {
    return readLock(file);
  } catch (error) {
    if (!(error instanceof LockError)) throw error;
    io.stderr.write(`${error.message}\nMaking it anew.\n`);
    return undefined;
  }
}
