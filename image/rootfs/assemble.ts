/**
 * The root file system as a tree: Debian's packages laid over one another, configured as their maintainer
 * scripts would have done, and the appliance put on top. Called by build-rootfs.ts; pure, no file is touched.
 */
import type { Architecture, RootfsSpec } from "../spec.ts";
import { applyBytePatches, bytePatches } from "./byte-patches.ts";
import { mergePackages, type PackageContent } from "./merge.ts";
import { addRuntime } from "./runtime.ts";
import { writeSystemFiles } from "./system-files.ts";
import { completeDirectories, setDirectory, setFile, setSymlink, type Tree } from "./tree.ts";
import { enableUnits, maskUnits } from "./units.ts";
import { writeUsers } from "./users.ts";

export type RootfsInput = Readonly<{
  architecture: Architecture;
  /** Packages to be unpacked into the root file system, in any order. */
  packages: readonly PackageContent[];
  spec: RootfsSpec;
  runtime: Readonly<{ node: Uint8Array; license: Uint8Array }>;
  /** Bundled programs by name (runtime.ts). */
  programs: ReadonlyMap<string, Uint8Array>;
  /** Modules and their index by path below the root (kernel.ts). */
  kernelFiles: ReadonlyMap<string, Uint8Array>;
}>;

/** The whole tree. Throws one of this folder's errors when a package no longer fits. */
export function assembleRootfs(input: RootfsInput): Tree {
  const tree: Tree = new Map();
  setDirectory(tree, "");
  mergePackages(
    tree,
    [...input.packages].sort((a, b) => (a.name < b.name ? -1 : 1)),
  );
  applyBytePatches(tree, bytePatches[input.architecture]);
  const groups = writeUsers(tree, input.spec.users);
  writeSystemFiles(tree, groups);
  for (const [path, content] of input.kernelFiles) setFile(tree, path, content);
  addRuntime(tree, input.runtime, input.programs);
  addSpec(tree, input.spec);
  // systemd sets a clock that is behind to this file's time, which is the time of everything in the image.
  setFile(tree, "usr/lib/clock-epoch", "");
  completeDirectories(tree);
  return tree;
}

function addSpec(tree: Tree, spec: RootfsSpec): void {
  for (const { path, content, mode } of spec.files) {
    setFile(tree, path.slice(1), content, mode === undefined ? {} : { mode });
  }
  for (const { path, target } of spec.links) setSymlink(tree, path.slice(1), target);
  enableUnits(tree, spec.enable);
  maskUnits(tree, spec.mask);
}
