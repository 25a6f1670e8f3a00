/**
 * A build's downloads in a process of their own, which tests may end in the middle; started by
 * test/image/packages/fetching-process.ts with its orders as JSON. Prints the most memory it took, in bytes. Ctrl-C stops it
 * as it stops ./homing.
 */
import { fetchPackages } from "../../image/packages/download.ts";
import type { LockedPackage } from "../../image/packages/lock.ts";

type Orders = { packages: LockedPackage[]; cache: string; mirror: string };

const { packages, cache, mirror }: Orders = JSON.parse(process.argv[2]!);
const stop = new AbortController();
process.on("SIGINT", () => stop.abort(new Error("stopped")));
let peak = 0;
try {
  await fetchPackages(packages, {
    cache,
    lockTime: 1_700_000_000,
    mirrors: { debian: mirror, security: mirror },
    snapshot: mirror,
    signal: stop.signal,
    // Not resourceUsage().maxRSS, which on Linux begins with what the parent had.
    onProgress: () => {
      peak = Math.max(peak, process.memoryUsage.rss());
    },
  });
  console.log(peak);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
