/**
 * How much npm has fetched of a package: it says nothing of that, but what comes grows in the folder "tmp" of its cache
 * (cacache) until it is whole. Called by image/packages/node-runtime.ts.
 */
import { execFile } from "node:child_process";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { npmCommand } from "./npm-command.ts";

/** Short against the seconds that a package takes, long against a look; in milliseconds. */
const LOOK_MILLISECONDS = 200;
/** File systems keep times in steps of up to two seconds (FAT); in milliseconds. */
const FILE_TIME_STEP = 2000;

type Watch = Readonly<{
  /** Told at each look, so that the rate goes down while nothing comes: the bytes of the largest file that was written. */
  onBytes: (bytes: number) => void;
  /** Ends the watch. */
  signal: AbortSignal;
}>;

/** Watches the cache that npm uses in the directory `cwd`; resolves when the signal is aborted. Shows nothing where it cannot. */
export async function watchNpmBytes({ cwd, ...watch }: Watch & Readonly<{ cwd: string }>): Promise<void> {
  const since = Date.now() - FILE_TIME_STEP;
  const cache = await npmCache(cwd, watch.signal);
  if (cache !== undefined) await watchGrowth(join(cache, "_cacache", "tmp"), since, watch);
}

/** Undefined when npm does not tell: whoever waits shall not be told of that, but of why packing fails. */
async function npmCache(cwd: string, signal: AbortSignal): Promise<string | undefined> {
  const { command, args, shell } = npmCommand(["config", "get", "cache"], process.platform);
  try {
    const { stdout } = await promisify(execFile)(command, args, { cwd, shell, signal });
    return stdout.trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Counts files of a folder that were written after `since` (milliseconds since 1970). */
export async function watchGrowth(folder: string, since: number, { onBytes, signal }: Watch): Promise<void> {
  let told = 0;
  while (!signal.aborted) {
    told = Math.max(told, await largest(folder, since));
    onBytes(told);
    await delay(LOOK_MILLISECONDS, undefined, { signal }).catch(() => {}); // that it was aborted
  }
}

async function largest(folder: string, since: number): Promise<number> {
  const names = await readdir(folder).catch(() => []); // not there before npm begins
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        ({ size, mtimeMs }) => (mtimeMs >= since ? size : 0),
        () => 0, // moved to its place by now
      ),
    ),
  );
  return Math.max(0, ...sizes);
}
