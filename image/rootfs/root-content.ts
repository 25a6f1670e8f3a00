/**
 * Everything that a root file system and its boot partition are made of, still in memory: packages from the cache or
 * the mirror, Node, the kernel, the tree, the bill of materials. Called by build-rootfs.ts, which compresses it, and
 * by the audit, which compares an image with it.
 */
import { fileURLToPath } from "node:url";
import { abortable } from "../abortable.ts";
import { compressInitramfs, packInitramfs } from "../initramfs/initramfs.ts";
import { type DebianPackage, loadPackage } from "../packages/deb.ts";
import { fetchPackages } from "../packages/download.ts";
import type { LockedPackage } from "../packages/lock.ts";
import {
  fetchNodeRuntime,
  NODE_VERSION,
  type NodeRuntime,
  nodePackageName,
} from "../packages/node-runtime.ts";
import type { ProgressReport } from "../progress.ts";
import { buildSbom } from "../sbom/cyclonedx.ts";
import { type NpmLock, packagesOfInputs, readNpmLock } from "../sbom/npm-packages.ts";
import type { BootPieces } from "../targets/target.ts";
import { assembleRootfs } from "./assemble.ts";
import { pickBootFiles } from "./boot-files.ts";
import type { RootfsOptions } from "./build-rootfs.ts";
import { readKernel } from "./kernel.ts";
import type { PackageContent } from "./merge.ts";
import { keepNeeded } from "./needed-content.ts";
import { bundlePrograms, type Program } from "./runtime.ts";
import { stripElf } from "./strip-elf.ts";
import type { Tree } from "./tree.ts";

/** Packages unpacked at once: xz runs on as many threads as there are processors, reading overlaps. */
const PARALLEL_UNPACKING = 8;

export type RootContent = Readonly<{
  tree: Tree;
  boot: BootPieces;
  sbom: Uint8Array;
  /** All locked packages of the architecture, sorted by name; what no step reads is empty (needed-content.ts). */
  packages: readonly PackageContent[];
}>;

/** Our programs, bundled, and what package-lock.json says of the packages in them. */
export type Programs = Readonly<{ bundles: ReadonlyMap<string, Program>; npm: NpmLock }>;

/** The project's folder, which `entry` of a Bundle is relative to. */
export const project = fileURLToPath(new URL("../..", import.meta.url));

type SourcePackage = Readonly<{ name: string; version: string }>;

/** Bundles the programs. Throws BundleError or NpmPackageError. */
export async function readPrograms({ spec, onProgress, signal }: RootfsOptions): Promise<Programs> {
  onProgress?.({ stage: "Bundling the programs" });
  const bundles = await abortable(bundlePrograms(spec.bundles, project), signal);
  return { bundles, npm: await readNpmLock(project) };
}

/**
 * Makes it all; `afterStep` as assembleRootfs has it. Throws what the steps throw: DownloadError, DebError, errors of image/rootfs and image/initramfs, …
 */
export async function makeRootContent(
  options: RootfsOptions,
  { bundles, npm }: Programs,
  afterStep?: Parameters<typeof assembleRootfs>[1],
): Promise<RootContent> {
  const { architecture, spec, lock, signal } = options;
  const report: ProgressReport = options.onProgress ?? (() => {});
  const locked = lock.architectures[architecture];
  // All that needs the network comes first: what is missing shall show before minutes of work.
  const runtime = await readRuntime(options);
  const loaded = await loadPackages(locked, options, report);
  const packages = loaded.map(({ content }) => content);
  report({ stage: "Reading the kernel" });
  const kernel = await readKernel(packages, architecture, signal);
  signal?.throwIfAborted();
  const { busybox, bootLoader, firmware, biosLoader } = pickBootFiles(architecture, packages);
  // Takes seconds of a processor, which the steps up to the next await leave idle.
  const initramfs = compressInitramfs(await packInitramfs(architecture, kernel, busybox, lock.generated));
  initramfs.catch(() => {}); // awaited below, unless another step fails before
  const uses = new Map(locked.map(({ name, use }) => [name, use]));
  const sources = new Map(loaded.map(({ content, source }) => [content.name, source]));
  const sbom = buildSbom({
    architecture,
    version: npm.version,
    time: lock.generated,
    debian: locked.map((one) => ({ ...one, source: sources.get(one.name)! })),
    node: { packageName: nodePackageName(architecture), version: NODE_VERSION, program: runtime.node },
    programs: [...bundles].map(([name, { content, inputs }]) => ({
      name: `${name}.mjs`,
      content,
      npm: packagesOfInputs(inputs, npm),
    })),
  });
  report({ stage: "Configuring the root file system" });
  const tree = assembleRootfs(
    {
      architecture,
      packages: packages.filter(({ name }) => uses.get(name) === "rootfs"),
      spec,
      runtime,
      programs: bundles,
      sbom,
      kernelFiles: kernel.files,
    },
    afterStep,
  );
  const boot: BootPieces = {
    kernel: kernel.image,
    initramfs: await initramfs,
    bootLoader,
    deviceTrees: kernel.deviceTrees,
    firmware,
    biosLoader,
  };
  return { tree, boot, sbom, packages };
}

/** Node as it is installed. Both files are copies: a view would keep all of npm's package in memory. */
async function readRuntime({ architecture, cache, onProgress, signal }: RootfsOptions): Promise<NodeRuntime> {
  const { node, license } = await fetchNodeRuntime(architecture, {
    cache,
    ...(onProgress ? { onProgress } : {}),
    ...(signal ? { signal } : {}),
  });
  return { node: stripElf(node), license: new Uint8Array(license) };
}

async function loadPackages(
  locked: readonly LockedPackage[],
  { architecture, cache, mirrors, lock, signal }: RootfsOptions,
  report: ProgressReport,
): Promise<{ content: PackageContent; source: SourcePackage }[]> {
  const paths = await fetchPackages(locked, {
    cache,
    mirrors,
    lockTime: lock.generated,
    onProgress: report,
    ...(signal ? { signal } : {}),
  });
  // The largest first, or at the end all would wait for one thread with a kernel.
  const waiting = locked
    .toSorted((a, b) => b.size - a.size)
    .map(({ name, use }) => ({ name, use, path: paths.get(name)! }));
  const total = waiting.length;
  const packages: { content: PackageContent; source: SourcePackage }[] = [];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      signal?.throwIfAborted();
      const { name, use, path } = next;
      const { control, entries } = await loadPackage(path, signal);
      const content = keepNeeded({ name, entries }, use, architecture);
      packages.push({ content, source: sourceOf(name, control) });
      signal?.throwIfAborted();
      report({ stage: "Unpacking the packages", done: packages.length, total, unit: "packages" });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_UNPACKING }, work));
  return packages.sort((a, b) => (a.content.name < b.content.name ? -1 : 1));
}

/** deb-control(5): "Source: NAME (VERSION)"; both parts are left out where they are the package's own. */
function sourceOf(name: string, control: DebianPackage["control"]): SourcePackage {
  const [, source, version] = /^(\S+)(?:\s+\((\S+)\))?$/.exec(control.get("source") ?? name) ?? [];
  return { name: source ?? name, version: version ?? control.get("version") ?? "" };
}
