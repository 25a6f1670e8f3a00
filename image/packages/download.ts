/**
 * Brings the locked packages into the cache: from the mirror, else from Debian's archive of old packages.
 * Called by image/rootfs/build-rootfs.ts. Whatever the server, only bytes with the locked SHA-256 are kept.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ProgressReport } from "../progress.ts";
import { writeFileWhole } from "./cache.ts";
import { type Fetch, HttpError, httpGet } from "./http.ts";
import type { ArchiveKind, LockedPackage } from "./lock.ts";
import type { Mirrors } from "./mirror.ts";

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

export type DownloadOptions = Readonly<{
  /** The cache directory; packages lie in its folder "packages". */
  cache: string;
  mirrors: Mirrors;
  /** `generated` of the lock file in seconds: the state of the archive to ask snapshot for. */
  lockTime: number;
  onProgress?: ProgressReport;
  signal?: AbortSignal;
  fetch?: Fetch;
  /** Base URL of the archive of old packages. */
  snapshot?: string;
}>;

/** A locked package cannot be had, or not as it is locked. */
export class DownloadError extends Error {
  override name = "DownloadError";
}

/**
 * Makes sure that every package is in the cache. Returns the paths of the .deb files by package name.
 * Throws DownloadError naming the package and the mend; what came before the error stays in the cache.
 */
export async function fetchPackages(
  packages: readonly LockedPackage[],
  options: DownloadOptions,
): Promise<Map<string, string>> {
  const { cache, onProgress } = options;
  const paths = new Map(packages.map((one) => [one.name, cachePath(cache, one)]));
  const total = packages.reduce((sum, { size }) => sum + size, 0);
  const received = new Map<string, number>();
  const show = () => {
    const done = [...received.values()].reduce((sum, value) => sum + value, 0);
    onProgress?.({ stage: "Fetching the Debian packages", done, total, unit: "bytes" });
  };
  const report = (name: string, bytes: number) => {
    received.set(name, bytes);
    show();
  };
  show(); // a mirror may never answer

  // The first failure stops the others: nobody shall wait for 90 MB to read an error message.
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])]);
  const waiting = [...packages].sort((a, b) => b.size - a.size); // the largest first: they take longest
  const work = async () => {
    for (let one = waiting.shift(); one; one = waiting.shift()) {
      signal.throwIfAborted();
      const { name, size } = one;
      if (!(await isCached(paths.get(name)!, one))) {
        const bytes = await fetchPackage(one, { ...options, signal }, (count) => report(name, count));
        await writeFileWhole(paths.get(name)!, bytes);
      }
      report(name, size);
    }
  };
  const workers = Array.from({ length: PARALLEL_DOWNLOADS }, async () => {
    try {
      await work();
    } catch (error) {
      stop.abort(error); // has no effect after the first
    }
  });
  await Promise.all(workers); // even after a failure: nothing may write to the cache once this returns
  signal.throwIfAborted();
  return paths;
}

/** The hash in the name keeps packages apart that share a name and version but not their bytes. */
function cachePath(cache: string, { path, sha256 }: LockedPackage): string {
  return join(cache, "packages", `${sha256.slice(0, 16)}-${basename(path)}`);
}

/** The cache is checked each time: a disk may have been full, or someone curious. */
async function isCached(path: string, { size, sha256 }: LockedPackage): Promise<boolean> {
  try {
    const bytes = await readFile(path);
    return bytes.length === size && sha256 === hash(bytes);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

async function fetchPackage(
  one: LockedPackage,
  options: DownloadOptions,
  onBytes: (received: number) => void,
): Promise<Buffer> {
  const { mirrors, fetch, signal, snapshot = SNAPSHOT } = options;
  const time = new Date((options.lockTime + SNAPSHOT_DELAY) * 1000);
  const stamp = time.toISOString().replace(/[-:]|\.\d+/g, ""); // 20261119T021254Z
  const urls = [
    `${mirrors[one.archive]}/${one.path}`,
    `${snapshot}/${SNAPSHOT_NAMES[one.archive]}/${stamp}/${one.path}`,
  ];
  const problems: string[] = [];
  for (const url of urls) {
    try {
      const bytes = await httpGet(url, { ...(fetch ? { fetch } : {}), signal, maxBytes: one.size, onBytes });
      if (bytes.length === one.size && hash(bytes) === one.sha256) return bytes;
      problems.push(`${url} is not the locked file (other size or SHA-256)`);
    } catch (error) {
      if (!(error instanceof HttpError)) throw error;
      problems.push(error.message);
    }
  }
  throw new DownloadError(
    `the package ${one.name} ${one.version} cannot be had:\n  ${problems.join("\n  ")}\n` +
      "Try another mirror with --mirror URL, or take the newest packages: ./homing build … --refresh for this " +
      "image, ./homing lock for all from now on.",
  );
}

function hash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
