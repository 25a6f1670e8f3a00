/**
 * Makes a new lock from what the mirrors hold now: fetches and proves the indexes, then resolves the
 * selection for both architectures. Called by `./homing lock` and `./homing build --refresh`.
 */
import type { PublicKey } from "openpgp";
import type { ProgressReport } from "../progress.ts";
import type { Architecture } from "../spec.ts";
import type { Network } from "./http.ts";
import type { PackageLock } from "./lock.ts";
import { type Mirrors, type Place, placesOf } from "./mirror.ts";
import { type IndexText, indexPackages } from "./package-index.ts";
import { withoutLogin } from "./proxy.ts";
import { fetchPackagesIndex, fetchRelease, ReleaseError, type Suite } from "./release.ts";
import { resolvePackages } from "./resolve.ts";
import { backports, type PackageSelection, packagesFor, suites } from "./selection.ts";

export type RefreshOptions = Readonly<{
  mirrors: Mirrors;
  /** The lock to be renewed: no index may be older than those it was made from. Undefined when there is none. */
  previous: PackageLock | undefined;
  /** Seconds since 1970. */
  now: number;
  onProgress?: ProgressReport;
  signal?: AbortSignal;
  network?: Network;
  /** The keys that may sign each index: the pinned Debian keys unless given. */
  keys?: readonly PublicKey[];
  /** What to resolve: the project's own selection unless given. */
  select?: (architecture: Architecture) => PackageSelection;
}>;

/**
 * A lock of the newest packages. Throws ReleaseError when an index is not genuine, out of date or older than the
 * previous lock's or cannot be had of any mirror, ResolveError when the selection cannot be met.
 */
export async function refreshLock(options: RefreshOptions): Promise<PackageLock> {
  // The first failure stops the other requests: whoever called may want to end.
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])]);
  try {
    return await makeLock({ ...options, signal });
  } finally {
    stop.abort();
  }
}

async function makeLock(options: RefreshOptions): Promise<PackageLock> {
  const { mirrors, previous, onProgress, select = packagesFor } = options;
  const lockedDate = (suite: Suite) =>
    previous?.releases.find((one) => one.archive === suite.archive && one.suite === suite.codename)?.date;
  const total = 2 * suites.reduce((sum, { components }) => sum + components.length, 0);
  let done = 0;
  const report = () => onProgress?.({ stage: "Reading the package indexes", done, total, unit: "indexes" });
  report();
  const releases = await Promise.all(
    suites.map((suite) =>
      askInTurn(placesOf(mirrors, suite.archive), async (mirror, places) => ({
        ...(await fetchRelease(suite, { ...options, mirror }, lockedDate(suite))),
        places,
      })),
    ),
  );

  const resolve = async (architecture: Architecture) => {
    const texts = await Promise.all(
      releases.flatMap((release) =>
        release.suite.components.map(async (component): Promise<IndexText> => {
          const { archive, codename } = release.suite;
          const text = await askInTurn(release.places, (mirror) =>
            fetchPackagesIndex(release, component, architecture, { ...options, mirror }),
          );
          done++;
          report();
          return { archive, backports: codename === backports, text };
        }),
      ),
    );
    return resolvePackages(select(architecture), indexPackages(texts));
  };
  // One after the other: an index takes some hundred megabytes of memory while it is searched.
  const amd64 = await resolve("amd64");
  const arm64 = await resolve("arm64");
  return {
    generated: Math.max(...releases.map(({ date }) => date)),
    releases: releases.map(({ suite, date }) => ({ archive: suite.archive, suite: suite.codename, date })),
    architectures: { amd64, arm64 },
  };
}

/**
 * What `ask` gives of the first place that can be used; it is told the place and all from there on. Throws ReleaseError
 * with what was wrong with each, and what else is thrown as it is.
 */
async function askInTurn<Result>(
  places: readonly Place[],
  ask: (mirror: string, places: readonly Place[]) => Promise<Result>,
): Promise<Result> {
  const problems: ReleaseError[] = [];
  for (const [index, { url }] of places.entries()) {
    try {
      return await ask(url, places.slice(index));
    } catch (error) {
      if (!(error instanceof ReleaseError)) throw error;
      problems.push(error);
    }
  }
  const texts = problems.map(({ message }, index) => {
    const { url, from } = places[index]!;
    return from === undefined ? message : `${message}\n(${withoutLogin(url)} is ${from}.)`;
  });
  throw new ReleaseError(texts.join("\n"), { cause: problems[0] });
}
