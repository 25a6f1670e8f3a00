/**
 * What a renewed lock file changes, for people to read. Called by `./homing lock` and `./homing build --refresh`.
 */
import { isDeepStrictEqual } from "node:util";
import type { Architecture } from "../spec.ts";
import type { LockedPackage, PackageLock } from "./lock.ts";

export type LockChange = Readonly<{
  architecture: Architecture;
  name: string;
  /** Undefined when the package is new. */
  before: LockedPackage | undefined;
  /** Undefined when the package is gone. */
  after: LockedPackage | undefined;
}>;

/** All packages that differ in anything, by architecture and name. `before` undefined: there was no lock. */
export function lockChanges(before: PackageLock | undefined, after: PackageLock): LockChange[] {
  return (["amd64", "arm64"] as const).flatMap((architecture) => {
    const old = new Map((before?.architectures[architecture] ?? []).map((one) => [one.name, one]));
    const renewed = new Map(after.architectures[architecture].map((one) => [one.name, one]));
    return [...new Set([...old.keys(), ...renewed.keys()])]
      .sort()
      .map((name) => ({ architecture, name, before: old.get(name), after: renewed.get(name) }))
      .filter((change) => !isDeepStrictEqual(change.before, change.after));
  });
}

/** "amd64  postfix  3.10.5-1 → 3.10.6-1" */
export function changeText({ architecture, name, before, after }: LockChange): string {
  const version = (one: LockedPackage | undefined) => one?.version ?? "–";
  const same = before !== undefined && before.version === after?.version;
  const what = same ? `${after.version}, another file or use` : `${version(before)} → ${version(after)}`;
  return `${architecture}  ${name}  ${what}`;
}
