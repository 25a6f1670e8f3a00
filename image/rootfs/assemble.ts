/**
 * The root file system as a tree: Debian's packages laid over one another, configured as their maintainer
 * scripts would have done, and the appliance put on top. Called by build-rootfs.ts; pure, no file is touched.
 */
import { SBOM_PATH } from "../sbom/cyclonedx.ts";
import type { Architecture, RootfsSpec } from "../spec.ts";
import { applyBytePatches } from "./byte-patches.ts";
import { mergePackages, type PackageContent } from "./merge.ts";
import { addRuntime, type Program } from "./runtime.ts";
import { writeSystemFiles } from "./system-files.ts";
import { completeDirectories, setDirectory, setFile, setSymlink, type Tree } from "./tree.ts";
import { enableUnits, maskUnits } from "./units.ts";
import { writeUsers } from "./users.ts";

/** The step that lays the packages over one another (merge.ts). */
export const PACKAGES_STEP = "the packages";

export type RootfsInput = Readonly<{
  architecture: Architecture;
  /** Packages to be unpacked into the root file system, in any order. */
  packages: readonly PackageContent[];
  spec: RootfsSpec;
  runtime: Readonly<{ node: Uint8Array; license: Uint8Array }>;
  /** Bundled programs by name (runtime.ts). */
  programs: ReadonlyMap<string, Program>;
  /** The bill of materials (image/sbom). */
  sbom: Uint8Array;
  /** Modules and their index by path below the root (kernel.ts). */
  kernelFiles: ReadonlyMap<string, Uint8Array>;
}>;

/**
 * The whole tree. `afterStep` is called after each step with what the tree then holds and with the place in the
 * sources of what the step did, so that the origin of every file can be told (image/audit/origins.ts).
 * Throws one of this folder's errors when a package no longer fits.
 */
export function assembleRootfs(
  input: RootfsInput,
  afterStep: (tree: Tree, place: string) => void = () => {},
): Tree {
  const tree: Tree = new Map();
  setDirectory(tree, "");
  mergePackages(
    tree,
    [...input.packages].sort((a, b) => (a.name < b.name ? -1 : 1)),
  );
  afterStep(tree, PACKAGES_STEP);
  applyBytePatches(tree, input.architecture);
  afterStep(tree, "image/rootfs/byte-patches.ts");
  const groups = writeUsers(tree, input.spec.users);
  afterStep(tree, "image/rootfs/users.ts");
  writeSystemFiles(tree, groups);
  afterStep(tree, "image/rootfs/system-files.ts");
  for (const [path, content] of input.kernelFiles) setFile(tree, path, content);
  afterStep(tree, "image/rootfs/kernel.ts");
  addRuntime(tree, input.runtime, input.programs);
  afterStep(tree, "image/rootfs/runtime.ts");
  addSpec(tree, input.spec);
  afterStep(tree, "appliance/rootfs.ts");
  setFile(tree, SBOM_PATH, input.sbom);
  afterStep(tree, "image/sbom/cyclonedx.ts");
  // systemd sets a clock that is behind to this file's time, which is the time of everything in the image.
  setFile(tree, "usr/lib/clock-epoch", "");
  completeDirectories(tree);
  afterStep(tree, "image/rootfs/assemble.ts");
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
