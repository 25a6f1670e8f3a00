/**
 * The files in which the relay's services write what they count (services/lib/counters.ts), all together. Every service
 * may write there (but where the queue is counted), so none is trusted: a file that is not what it should be is left out.
 * Called by scrape.ts.
 */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { useOthersFile } from "../../appliance/others-file.ts";
import { describeError, type Log } from "../lib/log.ts";
import { type Family, MetricsTextError, parseFamilies } from "./text-format.ts";

/** Above all files that our services write together. */
const MAX_FILES = 64;
/** A hundred series of a hundred characters each, for twenty names. */
const MAX_FILE_BYTES = 200_000;

export type ServiceFiles = Readonly<{
  families: readonly Family[];
  /** Files that were read, and that were left out. */
  good: number;
  broken: number;
}>;

/** Made once; a file that becomes broken is logged once. Files lie in memory (/run), so that reading them waits for nothing. */
export function createServiceFiles(
  folders: readonly string[],
  log: Log,
): (taken: ReadonlySet<string>) => ServiceFiles {
  const known = new Set<string>();
  /** What was in a file, as long as it is the same: services replace theirs, and most change rarely. */
  const read = new Map<string, Readonly<{ version: string; families: readonly Family[] }>>();

  const familiesOf = (path: string): readonly Family[] => {
    return useOthersFile(path, MAX_FILE_BYTES, (status, text) => {
      const version = `${status.ino} ${status.mtimeMs} ${status.size}`;
      const before = read.get(path);
      if (before?.version === version) return before.families;
      read.delete(path);
      const families = parseFamilies(text());
      read.set(path, { version, families });
      return families;
    });
  };

  /** `taken`: names of families that may not come from here. */
  return (taken) => {
    const paths = folders.flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => /^[a-z][a-z0-9-]*\.prom$/.test(name))
        .sort()
        .map((name) => join(folder, name)),
    );
    const families = new Map<string, Family>();
    let broken = Math.max(0, paths.length - MAX_FILES);
    for (const path of paths.slice(0, MAX_FILES)) {
      try {
        const inFile = familiesOf(path);
        const twice = inFile.find((family) => families.has(family.name) || taken.has(family.name));
        if (twice !== undefined) throw new MetricsTextError(`${twice.name} is counted elsewhere already`);
        for (const family of inFile) families.set(family.name, family);
        known.delete(path);
      } catch (cause) {
        broken += 1;
        if (!known.has(path))
          log.warn("a file of counters is left out", { file: basename(path), cause: describeError(cause) });
        known.add(path);
      }
    }
    for (const path of [...read.keys(), ...known]) {
      if (paths.includes(path)) continue;
      read.delete(path);
      known.delete(path);
    }
    return { families: [...families.values()], good: paths.length - broken, broken };
  };
}
