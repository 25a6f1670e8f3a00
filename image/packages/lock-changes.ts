/**
 * What a renewed lock file changes, for people to read and for scripts. Called by `./homing lock`.
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

export type ChangeKind = "renewed" | "added" | "removed" | "other file or use";

export function changeKind({ before, after }: LockChange): ChangeKind {
  if (!before) return "added";
  if (!after) return "removed";
  return before.version === after.version ? "other file or use" : "renewed";
}

/** "amd64  postfix  3.10.5-1 → 3.10.6-1  +1.2 kB": the difference of the packages' sizes as they are downloaded. */
export function changeText(change: LockChange): string {
  const { architecture, name, before, after } = change;
  const kind = changeKind(change);
  const what =
    kind === "renewed" ? `${before?.version} → ${after?.version}` : `${kind}: ${(after ?? before)?.version}`;
  return `${architecture}  ${name}  ${what}  ${differenceText((after?.size ?? 0) - (before?.size ?? 0))}`;
}

export type LockTotal = Readonly<{
  architecture: Architecture;
  packages: number;
  /** Of all packages, as they are downloaded. */
  bytes: number;
  /** Of those before; undefined when there was no lock. */
  bytesBefore: number | undefined;
  changes: Readonly<Record<ChangeKind, number>>;
}>;

/** The sums of an architecture. */
export function lockTotal(
  architecture: Architecture,
  before: PackageLock | undefined,
  after: PackageLock,
): LockTotal {
  const sum = (lock: PackageLock) =>
    lock.architectures[architecture].reduce((bytes, { size }) => bytes + size, 0);
  const changes = { renewed: 0, added: 0, removed: 0, "other file or use": 0 };
  for (const change of lockChanges(before, after)) {
    if (change.architecture === architecture) changes[changeKind(change)]++;
  }
  return {
    architecture,
    packages: after.architectures[architecture].length,
    bytes: sum(after),
    bytesBefore: before && sum(before),
    changes,
  };
}

/** "amd64: 144 packages, 92.7 MB (+1.2 kB): 2 renewed, 1 added" */
export function totalText({ architecture, packages, bytes, bytesBefore, changes }: LockTotal): string {
  const counts = Object.entries(changes)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${count} ${kind}`);
  const difference = bytesBefore === undefined ? "" : ` (${differenceText(bytes - bytesBefore)})`;
  const all = `${architecture}: ${packages} packages, ${(bytes / 1e6).toFixed(1)} MB${difference}`;
  return `${all}: ${counts.length === 0 ? "no change" : counts.join(", ")}`;
}

/** "+1.2 kB", "−12.3 MB", "±0 kB" */
function differenceText(bytes: number): string {
  const size = Math.abs(bytes);
  const text = size < 1e6 ? `${(size / 1e3).toFixed(1)} kB` : `${(size / 1e6).toFixed(1)} MB`;
  return bytes === 0 ? "±0 kB" : `${bytes > 0 ? "+" : "−"}${text}`;
}
