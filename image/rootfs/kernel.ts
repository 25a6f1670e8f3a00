/**
 * The Linux kernel of the packages: picks out the image, device trees and modules, leaves out the drivers of
 * hardware that no target has, and writes the index that modprobe reads. Called by build-rootfs.ts.
 */
import { decompressXz } from "../formats/xz.ts";
import type { Architecture } from "../spec.ts";
import { type PackageContent, usrMergedPath } from "./merge.ts";
import { isPruned } from "./module-choice.ts";
import { type ModuleContent, readModule } from "./module-elf.ts";
import { buildModuleIndex, moduleName } from "./module-index.ts";

/** The packages hold no kernel, two kernels, or not the parts it needs. */
export class KernelError extends Error {
  override name = "KernelError";
}

export type Kernel = Readonly<{
  /** As `uname -r` says it. */
  release: string;
  image: Uint8Array;
  /** Device trees of Raspberry Pis by file name. */
  deviceTrees: ReadonlyMap<string, Uint8Array>;
  /** Files for the root file system by path: modules as packaged (.ko.xz) and the index. */
  files: ReadonlyMap<string, Uint8Array>;
  /** By path below usr/lib/modules/RELEASE/ without ".xz" (kernel/fs/ext4/ext4.ko). */
  modules: ReadonlyMap<string, KernelModule>;
  /** Modules that are part of the image, in the same form. */
  builtIn: ReadonlySet<string>;
}>;

export type KernelModule = Readonly<{
  /** Names of the modules it needs, with "_" for "-". */
  depends: readonly string[];
  /** Its content, uncompressed anew each time: all of them together would take 100 MB. */
  read: () => Promise<Uint8Array>;
}>;

const MODULE = /^kernel\/.*\.ko(\.xz)?$/;
const RASPBERRY_PI = /^dtb\/(?:[^/]+\/)?(bcm2[78]\d\d[^/]*\.dtb)$/;
const MODULE_FOLDER = /^usr\/lib\/modules\/([^/]+)\/(.+)$/;
const IMAGE = /^boot\/vmlinuz-(.+)$/;
const METADATA = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

/** Whether readKernel reads the file at `path`, as merged into /usr, of a package for `architecture`. */
export function isKernelPart(path: string, architecture: Architecture): boolean {
  const part = MODULE_FOLDER.exec(path)?.[2];
  if (part === undefined) return IMAGE.test(path);
  if (MODULE.test(part)) return !isPruned(part, architecture);
  return part === "vmlinuz" || METADATA.includes(part) || RASPBERRY_PI.test(part);
}

/**
 * Reads the kernel out of the packages; which package a part is in has changed between Debian's kernels. Throws
 * KernelError, and the signal's reason when that is aborted.
 */
export async function readKernel(
  packages: readonly PackageContent[],
  architecture: Architecture,
  signal?: AbortSignal,
): Promise<Kernel> {
  const parts = new Map<string, Uint8Array>();
  const releases = new Set<string>();
  for (const { entries } of packages) {
    for (const { type, path: packagedPath, content } of entries) {
      if (type !== "file") continue;
      const path = usrMergedPath(packagedPath);
      const inModules = MODULE_FOLDER.exec(path);
      const image = IMAGE.exec(path);
      if (inModules) parts.set(inModules[2]!, content);
      if (image) parts.set("vmlinuz", content);
      const release = inModules?.[1] ?? image?.[1];
      if (release) releases.add(release);
    }
  }
  const [release] = releases;
  if (release === undefined || releases.size > 1) {
    throw new KernelError(
      `the packages hold ${releases.size} kernels instead of one: ${[...releases].join(" ")}`,
    );
  }
  const part = (name: string): Uint8Array => {
    const content = parts.get(name);
    if (!content) throw new KernelError(`the packages of the kernel ${release} bring no ${name}`);
    return content;
  };

  const metadata = METADATA.map((name): [string, Uint8Array] => [name, part(name)]);
  const builtIn = new Set(new TextDecoder().decode(part("modules.builtin")).split("\n").filter(Boolean));
  const reader = (path: string, content: Uint8Array) => async (): Promise<Uint8Array> =>
    path.endsWith(".xz") ? await decompressXz(content, signal) : content;
  const chosen = [...parts].filter(([path]) => MODULE.test(path) && !isPruned(path, architecture));
  const contents = new Map(
    await Promise.all(
      chosen.map(
        async ([path, content]): Promise<[string, ModuleContent]> => [
          path,
          readModule(path, await reader(path, content)()),
        ],
      ),
    ),
  );
  leaveOutUnloadable(contents, builtIn);
  const kept = chosen.filter(([path]) => contents.has(path));
  const modules = new Map(
    kept.map(([path, content]): [string, KernelModule] => [
      path.replace(/\.xz$/, ""),
      { depends: dependsOf(contents.get(path)!), read: reader(path, content) },
    ]),
  );
  const index = buildModuleIndex(contents, Object.fromEntries(metadata));
  const folder = `usr/lib/modules/${release}`;
  const files = new Map<string, Uint8Array>();
  for (const [path, content] of [...kept, ...metadata, ...index]) files.set(`${folder}/${path}`, content);

  const deviceTrees = new Map<string, Uint8Array>();
  for (const [path, content] of parts) {
    const name = RASPBERRY_PI.exec(path)?.[1];
    if (name) deviceTrees.set(name, content);
  }
  return { release, image: part("vmlinuz"), deviceTrees, files, modules, builtIn };
}

/** Takes out every module that needs one that is not there: it could never be loaded. */
function leaveOutUnloadable(contents: Map<string, ModuleContent>, builtIn: ReadonlySet<string>): void {
  const there = new Set([...contents.keys(), ...builtIn].map(moduleName));
  for (let before = -1; before !== contents.size; ) {
    before = contents.size;
    for (const [path, content] of contents) {
      if (dependsOf(content).every((name) => there.has(name))) continue;
      contents.delete(path);
      there.delete(moduleName(path));
    }
  }
}

/** The names in modinfo's "depends". */
function dependsOf({ info }: ModuleContent): string[] {
  const names = info.find(([key]) => key === "depends")?.[1].split(",") ?? [];
  return names.filter((name) => name !== "").map((name) => name.replaceAll("-", "_"));
}
