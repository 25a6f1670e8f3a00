/**
 * The files in which the relay's services write what they count (services/lib/counters.ts), all together. Every service
 * may write there, so none is trusted: a file that is not what it should be is left out. Called by scrape.ts.
 */
import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
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

/** Made once; a file that becomes broken is logged once. */
export function createServiceFiles(
  folder: string,
  log: Log,
): (taken: ReadonlySet<string>) => Promise<ServiceFiles> {
  const known = new Set<string>();

  /** `taken`: names of families that may not come from here. */
  return async (taken) => {
    const names = (await readdir(folder)).filter((name) => /^[a-z][a-z0-9-]*\.prom$/.test(name)).sort();
    const families = new Map<string, Family>();
    let broken = Math.max(0, names.length - MAX_FILES);
    for (const name of names.slice(0, MAX_FILES)) {
      try {
        const inFile = parseFamilies(await readText(join(folder, name)));
        const twice = inFile.find((family) => families.has(family.name) || taken.has(family.name));
        if (twice !== undefined) throw new MetricsTextError(`${twice.name} is counted elsewhere already`);
        for (const family of inFile) families.set(family.name, family);
        known.delete(name);
      } catch (cause) {
        broken += 1;
        if (!known.has(name))
          log.warn("a file of counters is left out", { file: name, cause: describeError(cause) });
        known.add(name);
      }
    }
    return { families: [...families.values()], good: names.length - broken, broken };
  };
}

async function readText(path: string): Promise<string> {
  // Nobody leads us elsewhere by a link, or holds us up by a pipe.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new MetricsTextError("it is no file");
    if (status.size > MAX_FILE_BYTES) throw new MetricsTextError(`it has more than ${MAX_FILE_BYTES} bytes`);
    // It may grow meanwhile.
    const buffer = Buffer.alloc(status.size + 4096);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead === buffer.length) throw new MetricsTextError("it grows while it is read");
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}
