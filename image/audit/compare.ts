/** Compares the root file system found in an image with what it must hold. Called by audit.ts; pure. */
import type { ExpectedEntry } from "./expected.ts";
import type { FoundEntry } from "./squashfs-reader.ts";

export type Finding = Readonly<{
  place: "boot partition" | "root file system" | "root partition" | "disk";
  /** On the device for the root file system ("/usr/bin/sh"); else a path on the FAT, or a range of bytes. */
  path: string;
  /** Ends the sentence that `path` begins. */
  problem: string;
}>;

/** One finding a path that is surplus, missing or different; `time` is that of every file, in seconds. */
export function compareTrees(
  found: ReadonlyMap<string, FoundEntry>,
  expected: ReadonlyMap<string, ExpectedEntry>,
  time: number,
): Finding[] {
  const findings: Finding[] = [];
  const add = (path: string, problem: string) =>
    findings.push({ place: "root file system", path: `/${path}`, problem });
  const firstNames = new Map<number, string>();
  for (const [path, entry] of found) {
    const wanted = expected.get(path);
    if (!wanted) {
      add(path, `is a ${entry.type} that no package, npm package or source of ours brings`);
      continue;
    }
    if (wanted.origin === undefined) {
      add(
        path,
        `is a ${entry.type} that the build itself puts in, from no package, npm package or source of ours`,
      );
      continue;
    }
    const differences = differencesOf(entry, wanted, time);
    const firstName = firstNames.get(entry.inode);
    const wantedName = wanted.linkOf ?? path;
    if (firstName === undefined) firstNames.set(entry.inode, wantedName);
    else if (firstName !== wantedName) differences.push(`it is one file with /${firstName}`);
    if (differences.length > 0)
      add(path, `is not as its origin has it (${wanted.origin}): ${differences.join(", ")}`);
  }
  for (const [path, { origin }] of expected) {
    if (!found.has(path)) add(path, `is missing (${origin ?? "of unknown origin"})`);
  }
  return findings;
}

function differencesOf(found: FoundEntry, wanted: ExpectedEntry, time: number): string[] {
  if (found.type !== wanted.type) return [`it is a ${found.type} instead of a ${wanted.type}`];
  const differences: string[] = [];
  if (found.sha256 !== wanted.sha256 || found.size !== wanted.size) differences.push("its content differs");
  if (found.target !== wanted.target) {
    differences.push(
      `it leads to ${JSON.stringify(found.target)} instead of ${JSON.stringify(wanted.target)}`,
    );
  }
  const mode = (value: number) => value.toString(8).padStart(4, "0");
  if (found.mode !== wanted.mode) {
    differences.push(`its mode is ${mode(found.mode)} instead of ${mode(wanted.mode)}`);
  }
  if (found.uid !== wanted.uid || found.gid !== wanted.gid) {
    differences.push(`its owner is ${found.uid}:${found.gid} instead of ${wanted.uid}:${wanted.gid}`);
  }
  if (found.time !== time) differences.push("its time is not that of the image");
  if (found.hasXattrs) differences.push("it has extended attributes");
  return differences;
}
