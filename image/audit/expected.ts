/**
 * What an image must hold: the root file system and the boot files made again from the locked packages, the pinned
 * Node and the project's sources, as hashes with their origins. Called by audit.ts. Makes as much as a build does
 * before it compresses; the contents are given up again at the end.
 */
import { NODE_VERSION, nodePackageName } from "../packages/node-runtime.ts";
import type { RootfsOptions } from "../rootfs/build-rootfs.ts";
import { makeRootContent, readPrograms } from "../rootfs/root-content.ts";
import type { TreeEntry } from "../rootfs/tree.ts";
import type { BootPieces } from "../targets/target.ts";
import { type OriginText, originFinder, sha256 } from "./origin-finder.ts";
import { traceOrigins } from "./origins.ts";

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
  /** Undefined: the builder itself puts it in, from nowhere known. */
  origin: OriginText | undefined;
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

  const node = `npm ${nodePackageName(options.architecture)}@${NODE_VERSION}`;
  const { originOf, packageByHash } = originFinder({ packages, programs, node, places: trace.places });

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
      origin: originOf(path, entry.type, hash),
    });
  }
  return { entries, boot, packageByHash };
}
