/**
 * `./homing lock`: renews the list of Debian packages that images are made of, for both architectures, and
 * says what changed. For those who maintain Homing, and for whoever wants the newest security fixes at once.
 */

import { fileURLToPath } from "node:url";
import { writeFileWhole } from "../../image/packages/cache.ts";
import { LockError, lockFile, lockText, type PackageLock, readLock } from "../../image/packages/lock.ts";
import { changeText, lockChanges } from "../../image/packages/lock-changes.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { refreshLock } from "../../image/packages/refresh.ts";
import { type Command, type CommandIo, parseCommandArgs, UsageError } from "../command.ts";
import { withProgress } from "../progress.ts";

export const command: Command = {
  name: "lock",
  summary: "renew the list of Debian packages that images are made of",
  usage: "lock [--mirror URL]",
  help: `
Reads the newest package indexes of Debian 13, checks their signatures, finds the packages that images need and
writes image/packages/lock.json. Prints each package that changed. Images built from then on have the new
packages; relays that already run do not change.

  --mirror URL   the Debian mirror to ask, like https://ftp.debian.org/debian (default: DEBIAN_MIRROR and
                 DEBIAN_SECURITY_MIRROR from the environment, else what this computer's apt uses, else
                 https://ftp.debian.org/debian)
`,

  async run(args: readonly string[], io: CommandIo): Promise<number> {
    const { values, positionals } = parseCommandArgs(args, { mirror: { type: "string" } });
    if (positionals.length > 0) throw new UsageError(`unexpected argument “${positionals[0]}”`);
    const mirrors = await chooseMirrors({ mirror: values.mirror, env: io.env });
    const before = readOldLock(io);
    const after = await withProgress(io.stderr, (onProgress) =>
      refreshLock({ mirrors, previous: before, now: Date.now() / 1000, onProgress, signal: io.signal }),
    );
    const changes = lockChanges(before, after);
    for (const change of changes) io.stdout.write(`${changeText(change)}\n`);
    await writeFileWhole(fileURLToPath(lockFile), Buffer.from(lockText(after)));
    const counts = `${after.architectures.amd64.length} packages for amd64, ${after.architectures.arm64.length} for arm64`;
    io.stdout.write(
      changes.length === 0
        ? `No package changed: ${counts}.\n`
        : `${changes.length} changes: ${counts}. The next ./homing build uses them.\n`,
    );
    return 0;
  },
};

/** A broken or missing lock file is what this command mends; it must not stop it. */
function readOldLock(io: CommandIo): PackageLock | undefined {
  try {
    return readLock();
  } catch (error) {
    if (!(error instanceof LockError)) throw error;
    io.stderr.write(`${error.message}\nMaking it anew.\n`);
    return undefined;
  }
}
