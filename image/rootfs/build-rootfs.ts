/**
 * Makes the root file system of an architecture, with the kernel and boot files that belong to it, or takes it
 * from the cache when nothing it is made of has changed. Called by image/build.ts and by the tests that boot
 * the root file system as a container.
 */
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, glob, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeSquashfs } from "../formats/squashfs.ts";
import { buildInitramfs } from "../initramfs/initramfs.ts";
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

export type Rootfs = Readonly<{
  /** The squashfs image, a file in the cache: copy it, do not change it. */
  path: string;
  bytes: number;
  /** Hexadecimal. */
  sha256: string;
  boot: BootPieces;
  /** Whether it was in the cache already. */
  reused: boolean;
}>;

/** What stands beside the squashfs in its cache folder. */
type Manifest = { bytes: number; sha256: string; deviceTrees: string[]; firmware: string[] };

const project = fileURLToPath(new URL("../..", import.meta.url));
/** Packages unpacked at once: xz runs on as many threads as there are processors, reading overlaps. */
const PARALLEL_UNPACKING = 8;

/** Throws what the steps throw: DownloadError, DebError, errors of image/rootfs and image/initramfs, … */
export async function buildRootfs(options: RootfsOptions): Promise<Rootfs> {
  const { architecture, spec, lock, cache, signal } = options;
  const report: ProgressReport = options.onProgress ?? (() => {});
  report({ stage: "Bundling the programs" });
  const programs = await bundlePrograms(spec.bundles, project);
  const key = await inputKey(options, programs);
  const folder = join(cache, "rootfs", `${architecture}-${key}`);
  const cached = await readCached(folder);
  if (cached) return { ...cached, reused: true };

  const locked = lock.architectures[architecture];
  const packages = await loadPackages(locked, options, report);
  signal?.throwIfAborted();
  const runtime = await fetchNodeRuntime(architecture, {
    cache,
    onProgress: report,
    ...(signal ? { signal } : {}),
  });
  report({ stage: "Reading the kernel" });
  const kernel = await readKernel(packages);
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

  // Made aside and renamed: a folder of that name is always whole.
  await mkdir(join(cache, "rootfs"), { recursive: true });
  const aside = await mkdtemp(`${folder}.part-`);
  await chmod(aside, 0o755); // nothing in it is secret
  try {
    const stage = "Compressing the root file system";
    const { bytes } = await writeSquashfs(tree, join(aside, "root.squashfs"), {
      time: lock.generated,
      onProgress: (done, total) => report({ stage, done, total, unit: "bytes" }),
      ...(signal ? { signal } : {}),
    });
    const sha256 = await hashFile(join(aside, "root.squashfs"));
    await writeBootPieces(aside, boot);
    const manifest: Manifest = {
      bytes,
      sha256,
      deviceTrees: [...boot.deviceTrees.keys()],
      firmware: [...boot.firmware.keys()],
    };
    await writeFile(join(aside, "manifest.json"), JSON.stringify(manifest, null, 2));
    await rm(folder, { recursive: true, force: true });
    await rename(aside, folder);
    return { path: join(folder, "root.squashfs"), bytes, sha256, boot, reused: false };
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    throw error;
  }
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
      packages.push({ name, entries: (await loadPackage(path)).entries });
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

async function readCached(folder: string): Promise<Omit<Rootfs, "reused"> | undefined> {
  let manifest: Manifest;
  try {
    manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
  const path = join(folder, "root.squashfs");
  // A cache is not to be trusted with every disk: a damaged file is made anew.
  if ((await hashFile(path)) !== manifest.sha256) return undefined;
  const read = (name: string) => readFile(join(folder, name));
  const readAll = async (names: readonly string[], below: string) =>
    new Map(
      await Promise.all(
        names.map(async (name): Promise<[string, Uint8Array]> => [name, await read(`${below}/${name}`)]),
      ),
    );
  const boot: BootPieces = {
    kernel: await read("vmlinuz"),
    initramfs: await read("initrd"),
    bootLoader: await read("loader.efi"),
    deviceTrees: await readAll(manifest.deviceTrees, "dtb"),
    firmware: await readAll(manifest.firmware, "firmware"),
  };
  return { path, bytes: manifest.bytes, sha256: manifest.sha256, boot };
}

async function writeBootPieces(folder: string, boot: BootPieces): Promise<void> {
  await mkdir(join(folder, "dtb"));
  await mkdir(join(folder, "firmware"));
  await writeFile(join(folder, "vmlinuz"), boot.kernel);
  await writeFile(join(folder, "initrd"), boot.initramfs);
  await writeFile(join(folder, "loader.efi"), boot.bootLoader);
  for (const [name, content] of boot.deviceTrees) await writeFile(join(folder, "dtb", name), content);
  for (const [name, content] of boot.firmware) await writeFile(join(folder, "firmware", name), content);
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
