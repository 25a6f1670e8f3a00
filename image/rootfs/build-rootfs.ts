/**
 * Makes the root file system of an architecture, with the kernel and boot files that belong to it, or takes it
 * from the cache when nothing it is made of has changed. Called by image/build.ts and by the tests that boot
 * the root file system as a container.
 */
import { createHash, type Hash } from "node:crypto";
import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { abortable } from "../abortable.ts";
import { writeSquashfs } from "../formats/squashfs.ts";
import { buildInitramfs } from "../initramfs/initramfs.ts";
import { explainCacheError, requireWritable } from "../packages/cache.ts";
import { loadPackage } from "../packages/deb.ts";
import { fetchPackages } from "../packages/download.ts";
import type { LockedPackage, PackageLock } from "../packages/lock.ts";
import type { Mirrors } from "../packages/mirror.ts";
import { fetchNodeRuntime } from "../packages/node-runtime.ts";
import type { ProgressReport } from "../progress.ts";
import type { Architecture, RootfsSpec } from "../spec.ts";
import type { BootPieces } from "../targets/target.ts";
import { assembleRootfs } from "./assemble.ts";
import { pickBootFiles } from "./boot-files.ts";
import { readKernel } from "./kernel.ts";
import type { PackageContent } from "./merge.ts";
import { pruneRootfs, readRootfs, type StoredRootfs, storeRootfs } from "./rootfs-cache.ts";
import { bundlePrograms } from "./runtime.ts";

export type RootfsOptions = Readonly<{
  architecture: Architecture;
  spec: RootfsSpec;
  lock: PackageLock;
  /** Cache directory (image/packages/cache.ts). */
  cache: string;
  mirrors: Mirrors;
  onProgress?: ProgressReport;
  signal?: AbortSignal;
}>;

export type Rootfs = StoredRootfs &
  Readonly<{
    /** Whether it was in the cache already. */
    reused: boolean;
  }>;

const project = fileURLToPath(new URL("../..", import.meta.url));
/** Packages unpacked at once: xz runs on as many threads as there are processors, reading overlaps. */
const PARALLEL_UNPACKING = 8;

/** What a root file system takes in the cache, with kernel and boot files, for error texts; about, in bytes. */
const ROOTFS_BYTES = 200_000_000;
const LACKING = "the root file system of these sources and packages is missing in it";

/** Throws what the steps throw: DownloadError, DebError, errors of image/rootfs and image/initramfs, … */
export async function buildRootfs(options: RootfsOptions): Promise<Rootfs> {
  const { architecture, spec, lock, cache, signal } = options;
  const report: ProgressReport = options.onProgress ?? (() => {});
  report({ stage: "Bundling the programs" });
  const programs = await abortable(bundlePrograms(spec.bundles, project), signal);
  const key = await inputKey(options, programs);
  const directory = join(cache, "rootfs");
  const folder = join(directory, `${architecture}-${key}`);
  const cached = await readRootfs(folder);
  if (cached) return { ...cached, reused: true };
  await requireWritable(cache, LACKING);

  const locked = lock.architectures[architecture];
  // All that needs the network comes first: what is missing shall show before minutes of work.
  const runtime = await fetchNodeRuntime(architecture, {
    cache,
    onProgress: report,
    ...(signal ? { signal } : {}),
  });
  const packages = await loadPackages(locked, options, report);
  report({ stage: "Reading the kernel" });
  const kernel = await readKernel(packages, signal);
  signal?.throwIfAborted();
  const uses = new Map(locked.map(({ name, use }) => [name, use]));
  report({ stage: "Configuring the root file system" });
  const tree = assembleRootfs({
    architecture,
    packages: packages.filter(({ name }) => uses.get(name) === "rootfs"),
    spec,
    runtime,
    programs,
    kernelFiles: kernel.files,
  });
  const { busybox, bootLoader, firmware } = pickBootFiles(architecture, packages);
  const boot: BootPieces = {
    kernel: kernel.image,
    initramfs: buildInitramfs(architecture, kernel, busybox, lock.generated),
    bootLoader,
    deviceTrees: kernel.deviceTrees,
    firmware,
  };

  const stage = "Compressing the root file system";
  const stored = await storeRootfs(folder, boot, (path) =>
    writeSquashfs(tree, path, {
      time: lock.generated,
      onProgress: (done, total) => report({ stage, done, total, unit: "bytes" }),
      ...(signal ? { signal } : {}),
    }),
  ).catch(async (error: unknown) => {
    throw await explainCacheError(error, folder, LACKING, ROOTFS_BYTES);
  });
  try {
    await pruneRootfs(directory, Date.now());
  } catch (error) {
    // Say another user's files: no reason to lose what was built.
    report({ stage: `Leaving old files in the cache (${(error as Error).message})` });
  }
  return { ...stored, reused: false };
}

async function loadPackages(
  locked: readonly LockedPackage[],
  { cache, mirrors, lock, signal }: RootfsOptions,
  report: ProgressReport,
): Promise<PackageContent[]> {
  const paths = await fetchPackages(locked, {
    cache,
    mirrors,
    lockTime: lock.generated,
    onProgress: report,
    ...(signal ? { signal } : {}),
  });
  const waiting = [...paths];
  const total = waiting.length;
  const packages: PackageContent[] = [];
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      signal?.throwIfAborted();
      const [name, path] = next;
      packages.push({ name, entries: (await loadPackage(path, signal)).entries });
      signal?.throwIfAborted();
      report({ stage: "Unpacking the packages", done: packages.length, total, unit: "packages" });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_UNPACKING }, work));
  return packages.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A hash over all that the result depends on: packages, specification, programs, the builder itself. */
async function inputKey(
  { architecture, spec, lock }: RootfsOptions,
  programs: ReadonlyMap<string, Uint8Array>,
): Promise<string> {
  const hash = createHash("sha256");
  const add = (...parts: (string | number | Uint8Array)[]) => {
    // Lengths keep the parts apart.
    for (const part of parts) {
      const bytes = typeof part === "object" ? part : Buffer.from(String(part));
      hash.update(`${bytes.length}:`).update(bytes);
    }
  };
  add(architecture, lock.generated, process.versions.zstd ?? process.version);
  for (const { name, sha256, use } of lock.architectures[architecture]) add(name, sha256, use);
  for (const { path, content, mode } of spec.files) add(path, content, mode ?? "");
  add(JSON.stringify([spec.users, spec.links, spec.enable, spec.mask]));
  for (const [name, program] of programs) add(name, program);
  await addSources(hash);
  return hash.digest("hex").slice(0, 32);
}

/** The builder's own sources; not the lists of packages, which are in the key already. */
async function addSources(hash: Hash): Promise<void> {
  const folder = join(project, "image");
  const files: string[] = [];
  for await (const name of glob("**/*.{ts,sh}", { cwd: folder })) files.push(name.replaceAll("\\", "/"));
  for (const file of files.sort()) {
    const content = await readFile(join(folder, file));
    hash.update(`${file}:${content.length}:`).update(content);
  }
}
