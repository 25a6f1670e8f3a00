/**
 * Lets go of what a package holds and no step of a build reads: most of a kernel's modules, pages for people, the
 * firmware of other machines. Without it a build held some 600 MB that nobody asked for. Called by root-content.ts as
 * soon as a package is unpacked; pure.
 */
import type { LockedPackage } from "../packages/lock.ts";
import type { Architecture } from "../spec.ts";
import { isBootFile } from "./boot-files.ts";
import { exclusionReason } from "./exclude.ts";
import { isKernelPart } from "./kernel.ts";
import { type PackageContent, usrMergedPath } from "./merge.ts";

/**
 * The same entries, but files that nothing reads are empty. The others lie in one buffer of their own,
 * so that the unpacked archive is free.
 */
export function keepNeeded(
  { name, entries }: PackageContent,
  use: LockedPackage["use"],
  architecture: Architecture,
): PackageContent {
  const isNeeded = (packagedPath: string): boolean => {
    const path = usrMergedPath(packagedPath);
    return (
      (use === "rootfs" && exclusionReason(path) === undefined) ||
      isKernelPart(path, architecture) ||
      isBootFile(name, path, architecture)
    );
  };
  const needed = entries.map(({ path }) => isNeeded(path));
  const total = entries.reduce((sum, { content }, index) => sum + (needed[index] ? content.length : 0), 0);
  const store = new Uint8Array(total);
  let used = 0;
  const kept = entries.map((entry, index) => {
    const content = needed[index] ? entry.content : entry.content.subarray(0, 0);
    const place = store.subarray(used, used + content.length);
    place.set(content);
    used += content.length;
    return { ...entry, content: place };
  });
  return { name, entries: kept };
}
