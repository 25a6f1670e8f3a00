/**
 * Which packages the tests build from: those of the project's lock file, or, when one of them is gone from the mirror
 * and from Debian's archive of old packages, today's. So a run does not fail because Debian published an update.
 * Called by test/run.ts and test/support/rootfs.ts before anything is built, and by whatever builds.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { DownloadError, type DownloadOptions, fetchPackages } from "../../image/packages/download.ts";
import { lockFile, lockText, type PackageLock, readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { type RefreshOptions, refreshLock } from "../../image/packages/refresh.ts";
import type { Architecture } from "../../image/spec.ts";
import { withProgress } from "../../installer/progress.ts";

/** Where the renewed lock file of this run lies; inherited by the processes of the rings. */
const LOCK_VARIABLE = "HOMING_TEST_LOCK";
const renewedLockFile = join(import.meta.dirname, "../output/lock.json");

/** The lock that this run builds from. */
export function readTestLock(): PackageLock {
  return readLock(testLockFile());
}

/** Its path, for commands. */
export function testLockFile(): string {
  return process.env[LOCK_VARIABLE] ?? fileURLToPath(lockFile);
}

/** Whether that is another one than the project's. */
export function buildsFromToday(): boolean {
  return testLockFile() === renewedLockFile;
}

/** Of an architecture's packages, this machine's own. */
export const hostArchitecture: Architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** Makes readTestLock give packages that can be had, and prints a line if these are not the project's. */
export async function prepareTestLock(architectures: readonly Architecture[]): Promise<void> {
  if (process.env[LOCK_VARIABLE] !== undefined) return;
  const mirrors = await chooseMirrors({ env: process.env });
  const renewed = await withProgress(process.stderr, (onProgress) =>
    lockToBuildFrom(architectures, {
      lock: readLock(),
      cache: defaultCacheDirectory(process.env),
      mirrors,
      now: Date.now() / 1000,
      onProgress,
    }),
  );
  // Set in any case, so that the processes of the rings do not look again.
  process.env[LOCK_VARIABLE] = renewed ? renewedLockFile : fileURLToPath(lockFile);
  if (!renewed) return;
  await mkdir(dirname(renewedLockFile), { recursive: true });
  await writeFile(renewedLockFile, lockText(renewed.lock));
  console.log(renewed.reason);
}

type Sources = Omit<DownloadOptions, "lockTime"> &
  Pick<RefreshOptions, "now" | "keys" | "select"> &
  Readonly<{ lock: PackageLock }>;

/**
 * Fetches the packages of the lock. When one is gone everywhere: a new lock, and one line that says so. Undefined
 * when nothing is gone; whatever else is wrong, the build itself will say, if it needs the packages at all.
 */
export async function lockToBuildFrom(
  architectures: readonly Architecture[],
  { lock, ...sources }: Sources,
): Promise<{ lock: PackageLock; reason: string } | undefined> {
  try {
    for (const architecture of architectures) {
      await fetchPackages(lock.architectures[architecture], { ...sources, lockTime: lock.generated });
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    if (!error.gone) return undefined;
    const what = error.message.split(/:\s/)[0]; // "the package a 1:2.3-4 is gone"
    return {
      lock: await refreshLock({ ...sources, previous: lock }),
      reason: `Debian has moved on (${what}): this run builds from today's packages; ./homing lock renews the list.`,
    };
  }
}
