/**
 * Brings the locked packages into the cache: from a mirror, else from Debian's archive of old packages.
 * Called by image/rootfs/build-rootfs.ts. Whatever the server, only bytes with the locked SHA-256 are kept.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat, utimes } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ProgressReport } from "../progress.ts";
import { explainCacheError, requireWritable } from "./cache.ts";
import { downloadFile, type SourceProblem, WrongFileError } from "./download-file.ts";
import { HttpError, type Network } from "./http.ts";
import type { ArchiveKind, LockedPackage } from "./lock.ts";
import { type Mirrors, type Place, placesOf } from "./mirror.ts";
import { networkMend } from "./network-mend.ts";
import { partsIn } from "./part-file.ts";

/** Enough to hide the latency of small files; more would be impolite to a mirror. */
const PARALLEL_DOWNLOADS = 6;
/** Every state of Debian since 2005, for what has left the mirrors: https://snapshot.debian.org/ */
const SNAPSHOT = "https://snapshot.debian.org/archive";
/** snapshot's names of the archives. */
const SNAPSHOT_NAMES: Readonly<Record<ArchiveKind, string>> = {
  debian: "debian",
  security: "debian-security",
};
/**
 * snapshot looks at the archive every six hours and shows what it saw last before the time asked for; packages
 * stay in the archive for more than a day after their successor came. So half a day after the index is a time
 * at which it surely held the package, in seconds.
 */
const SNAPSHOT_DELAY = 43_200;
/** While nothing comes, progress is told this often: the rate goes down. In milliseconds. */
const PROGRESS_MILLISECONDS = 1000;

export type DownloadOptions = Readonly<{
  /** The cache directory; packages lie in its folder "packages". */
  cache: string;
  mirrors: Mirrors;
  /** `generated` of the lock file in seconds: the state of the archive to ask snapshot for. */
  lockTime: number;
  onProgress?: ProgressReport;
  signal?: AbortSignal;
  network?: Network;
  /** Base URL of the archive of old packages. */
  snapshot?: string;
}>;

/**
 * A locked package cannot be had, or not as it is locked. `gone`: the mirrors answer that they have it no more, and no
 * other place gives it, so that only another lock helps.
 */
export class DownloadError extends Error {
  override name = "DownloadError";
  readonly gone: boolean;
  constructor(message: string, gone: boolean) {
    super(message);
    this.gone = gone;
  }
}

/**
 * Makes sure that every package is in the cache. Returns the paths of the .deb files by package name.
 * Throws DownloadError naming the package and the mend, CacheError or NoRoomError; what came before the error stays
 * in the cache. Asks for nothing that is there.
 */
export async function fetchPackages(
  packages: readonly LockedPackage[],
  options: DownloadOptions,
): Promise<Map<string, string>> {
  const { cache } = options;
  const paths = new Map(packages.map((one) => [one.name, packagePath(cache, one)]));
  const tally = createTally(packages, options.onProgress);
  tally.show(); // a mirror may never answer
  const isThere = async (one: LockedPackage) => {
    if (!(await isCached(paths.get(one.name)!, one))) return false;
    tally.set(one, one.size, one.size);
    return true;
  };
  const unseen = [...packages];
  const missing: LockedPackage[] = [];
  await inParallel(options.signal, async () => {
    const one = unseen.shift();
    if (one && !(await isThere(one))) missing.push(one);
    return one !== undefined;
  });
  tally.show();
  if (missing.length === 0) return paths;

  // Shrinks as they come: an error tells what is missing by then.
  const wanting = new Set(missing);
  const lacking = () =>
    `${wanting.size} of ${packages.length} packages (${megabytes(sizeOf([...wanting]))}) are missing in it`;
  await requireWritable(cache, lacking());
  missing.sort((a, b) => b.size - a.size); // the largest first: they take longest
  const folder = join(cache, "packages");
  const unreachable = new Map<string, SourceProblem>();
  const ticking = setInterval(tally.show, PROGRESS_MILLISECONDS);
  try {
    await inParallel(options.signal, async (signal) => {
      const one = await takeNext(missing, paths, folder);
      // Another build may have brought it in the meantime.
      if (one && !(await isThere(one))) {
        const report = (done: number, reused: number) => tally.set(one, done, reused);
        await fetchPackage(one, paths.get(one.name)!, { ...options, signal, lacking, unreachable }, report);
      }
      if (one) wanting.delete(one);
      tally.show();
      return one !== undefined;
    });
  } catch (error) {
    throw await explainCacheError(error, folder, lacking(), sizeOf([...wanting]));
  } finally {
    clearInterval(ticking);
  }
  return paths;
}

/** Counts what is there of each package, in bytes, and tells the sum. */
function createTally(packages: readonly LockedPackage[], onProgress: ProgressReport | undefined) {
  const there = new Map<LockedPackage, { done: number; reused: number }>();
  const total = sizeOf(packages);
  const show = () => {
    const sum = { done: 0, reused: 0 };
    for (const { done, reused } of there.values()) {
      sum.done += done;
      sum.reused += reused;
    }
    onProgress?.({ stage: "Fetching the Debian packages", ...sum, total, unit: "bytes" });
  };
  return {
    show,
    set(one: LockedPackage, done: number, reused: number) {
      there.set(one, { done, reused });
      show();
    },
  };
}

/**
 * Repeats `step` in several places at once until it gives false. The first failure stops the others, for nobody shall
 * wait for 90 MB to read an error message; it is thrown when all have ended, so that nothing writes to the cache then.
 */
async function inParallel(
  outer: AbortSignal | undefined,
  step: (signal: AbortSignal) => Promise<boolean>,
): Promise<void> {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(outer ? [outer] : [])]);
  const workers = Array.from({ length: PARALLEL_DOWNLOADS }, async () => {
    try {
      while (await step(signal)) signal.throwIfAborted();
    } catch (error) {
      stop.abort(error); // has no effect after the first
    }
  });
  await Promise.all(workers);
  signal.throwIfAborted();
}

/**
 * Where a package lies in the cache. The hash in the name keeps packages apart that share a name and version but not
 * their bytes.
 */
export function packagePath(cache: string, { path, sha256 }: LockedPackage): string {
  return join(cache, "packages", `${sha256.slice(0, 16)}-${basename(path)}`);
}

/** The cache is checked each time: a disk may have been full, or someone curious. Counts as a use. */
async function isCached(path: string, { size, sha256 }: LockedPackage): Promise<boolean> {
  try {
    if ((await stat(path)).size !== size) return false;
    const now = new Date();
    // First of all, so that nobody who tidies up removes it from here on. A cache may be another user's, or read-only.
    await utimes(path, now, now).catch((error: unknown) => {
      if (!hasCode(error, "EROFS", "EACCES", "EPERM")) throw error;
    });
    const hash = createHash("sha256");
    for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
    return hash.digest("hex") === sha256;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}

/**
 * Takes a package out of the list, if possible one that no other build is fetching. Of two builds the later one begins
 * at the other end: they meet in the middle.
 */
async function takeNext(
  missing: LockedPackage[],
  paths: ReadonlyMap<string, string>,
  folder: string,
): Promise<LockedPackage | undefined> {
  if (missing.length === 0) return undefined;
  const parts = (await partsIn(folder)).filter(({ abandoned }) => !abandoned);
  const busy = new Set(parts.map(({ target }) => target));
  const isFree = ({ name }: LockedPackage) => !busy.has(paths.get(name)!);
  const isLater = parts.some(({ processId }) => processId < process.pid);
  const free = isLater ? missing.findLastIndex(isFree) : missing.findIndex(isFree);
  return missing.splice(Math.max(free, 0), 1)[0];
}

type Surroundings = DownloadOptions &
  Readonly<{
    signal: AbortSignal;
    /** What all is missing, for error texts. */
    lacking: () => string;
    /** Servers that could not be reached, and why: the next packages do not wait for them again. */
    unreachable: Map<string, SourceProblem>;
  }>;

async function fetchPackage(
  one: LockedPackage,
  path: string,
  options: Surroundings,
  onBytes: (done: number, reused: number) => void,
): Promise<void> {
  const { mirrors, snapshot = SNAPSHOT, unreachable, network, signal } = options;
  const time = new Date((options.lockTime + SNAPSHOT_DELAY) * 1000);
  const stamp = time.toISOString().replace(/[-:]|\.\d+/g, ""); // 20261119T021254Z
  const places = placesOf(mirrors, one.archive);
  const sources = [
    ...places.map(({ url: base }) => ({ base, url: `${base}/${one.path}` })),
    { base: snapshot, url: `${snapshot}/${SNAPSHOT_NAMES[one.archive]}/${stamp}/${one.path}` },
  ];
  const asked = sources.filter(({ base }) => !unreachable.has(base));
  const found =
    asked.length === 0
      ? []
      : await downloadFile(
          { path, size: one.size, sha256: one.sha256 },
          asked.map(({ url }) => url),
          { network, signal, onBytes },
        );
  if (!found) return;
  const problems = sources.map(({ base }) => {
    const problem = unreachable.get(base) ?? found[asked.findIndex((source) => source.base === base)]!;
    if (problem instanceof HttpError && problem.kind === "unreachable") unreachable.set(base, problem);
    return problem;
  });
  throw explain(one, problems, places, options);
}

/** `problems` of the mirrors, then of the archive of old packages. */
function explain(
  { name, version }: LockedPackage,
  problems: readonly SourceProblem[],
  places: readonly Place[],
  { cache, lacking }: Surroundings,
): DownloadError {
  const asked = (index: number) => (places[index]?.from ? `; it is ${places[index].from}` : "");
  const reasons = problems.map(({ message }, index) => `  ${message}${asked(index)}`).join("\n");
  const answered = problems.filter((one) => one instanceof WrongFileError || one.kind !== "unreachable");
  if (answered.length === 0) {
    return new DownloadError(
      `Debian's packages cannot be fetched: there is no connection.\n${reasons}\n` +
        `The cache is ${cache}; ${lacking()}. ${networkMend(problems)} What has come so far is kept.`,
      false,
    );
  }
  const isGone = (one: SourceProblem) =>
    one instanceof WrongFileError || one.kind === "wrong" || one.status === 404 || one.status === 410;
  const everywhere = problems.every(isGone);
  const what = everywhere ? "is gone: no place has the locked file any more" : "cannot be had";
  const mend = everywhere ? "Try" : `${networkMend(problems)} Or try`;
  return new DownloadError(
    `the package ${name} ${version} ${what}:\n${reasons}\n` +
      `${mend} another mirror with --mirror URL, or take the newest packages: ./homing build … --refresh for this ` +
      "image, ./homing lock for all from now on.",
    problems.slice(0, places.length).every(isGone),
  );
}

function sizeOf(packages: readonly LockedPackage[]): number {
  return packages.reduce((sum, { size }) => sum + size, 0);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
