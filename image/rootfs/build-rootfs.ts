/**
 * Makes the root file system of an architecture, with the kernel and boot files that belong to it, or takes it
 * from the cache when nothing it is made of has changed. Called by image/build.ts and by the tests that boot
 * the root file system as a container.
 */
import { createHash, type Hash } from "node:crypto";
import { glob, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { writeSquashfs } from "../formats/squashfs.ts";
import { explainCacheError, requireWritable } from "../packages/cache.ts";
import type { PackageLock } from "../packages/lock.ts";
import type { Mirrors } from "../packages/mirror.ts";
import type { ProgressReport } from "../progress.ts";
import { packagesOfInputs } from "../sbom/npm-packages.ts";
import type { Architecture, RootfsSpec } from "../spec.ts";
import { makeRootContent, type Programs, project, readPrograms } from "./root-content.ts";
import { pruneRootfs, readRootfs, type StoredRootfs, storeRootfs } from "./rootfs-cache.ts";

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

/** What a root file system takes in the cache, with kernel and boot files, for error texts; about, in bytes. */
const ROOTFS_BYTES = 200_000_000;
const LACKING = "the root file system of these sources and packages is missing in it";

/** Throws what the steps throw: DownloadError, DebError, errors of image/rootfs and image/initramfs, … */
export async function buildRootfs(options: RootfsOptions): Promise<Rootfs> {
  const { lock, cache, signal } = options;
  const report: ProgressReport = options.onProgress ?? (() => {});
  const programs = await readPrograms(options);
  const folder = await rootfsFolder(options, programs);
  const cached = await readRootfs(folder);
  if (cached) return { ...cached, reused: true };
  await requireWritable(cache, LACKING);

  const { tree, boot, sbom } = await makeRootContent(options, programs);
  const stage = "Compressing the root file system";
  const stored = await storeRootfs(folder, { boot, sbom }, (path) =>
    writeSquashfs(tree, path, {
      time: lock.generated,
      onProgress: (done, total) => report({ stage, done, total, unit: "bytes" }),
      ...(signal ? { signal } : {}),
    }),
  ).catch(async (error: unknown) => {
    throw await explainCacheError(error, folder, LACKING, ROOTFS_BYTES);
  });
  try {
    await pruneRootfs(dirname(folder), Date.now());
  } catch (error) {
    // Say another user's files: no reason to lose what was built.
    report({ stage: `Leaving old files in the cache (${(error as Error).message})` });
  }
  return { ...stored, reused: false };
}

/** Where it lies in the cache, if it is there. */
export async function rootfsFolder(options: RootfsOptions, programs: Programs): Promise<string> {
  return join(options.cache, "rootfs", `${options.architecture}-${await inputKey(options, programs)}`);
}

/** A hash over all that the result depends on: packages, specification, programs, the builder itself. */
async function inputKey(
  { architecture, spec, lock }: RootfsOptions,
  { bundles, npm }: Programs,
): Promise<string> {
  const hash = createHash("sha256");
  const add = (...parts: (string | number | Uint8Array)[]) => {
    // Lengths keep the parts apart.
    for (const part of parts) {
      const bytes = typeof part === "object" ? part : Buffer.from(String(part));
      hash.update(`${bytes.length}:`).update(bytes);
    }
  };
  add(npm.version, architecture, lock.generated, process.versions.zstd ?? process.version);
  for (const { name, sha256, use } of lock.architectures[architecture]) add(name, sha256, use);
  for (const { path, content, mode } of spec.files) add(path, content, mode ?? "");
  add(JSON.stringify([spec.users, spec.links, spec.enable, spec.mask]));
  // The bill of materials tells what is in a program.
  for (const [name, { content, inputs }] of bundles) {
    add(name, content, JSON.stringify(packagesOfInputs(inputs, npm)));
  }
  await addSources(hash);
  return hash.digest("hex").slice(0, 32);
}

/** The builder's own sources; not the lists of packages, which are in the key already. */
async function addSources(hash: Hash): Promise<void> {
  const folder = join(project, "image");
  const files: string[] = [];
  for await (const name of glob("**/*.{ts,sh}", { cwd: folder })) {
    const file = name.replaceAll("\\", "/");
    // What judges images has no part in making one.
    if (!file.startsWith("audit/")) files.push(file);
  }
  for (const file of files.sort()) {
    const content = await readFile(join(folder, file));
    hash.update(`${file}:${content.length}:`).update(content);
  }
}
