/**
 * A QEMU that knows the Raspberry Pi 4, which came with version 9: the computer's own, else Debian 13's, unpacked from
 * its packages into test/output and run from there by its own dynamic linker. Called by test/boot/raspberry-pi-4.test.ts.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { loadPackage } from "../../image/packages/deb.ts";
import { fetchPackages } from "../../image/packages/download.ts";
import type { LockedPackage } from "../../image/packages/lock.ts";
import { chooseMirrors, type Mirrors } from "../../image/packages/mirror.ts";
import { indexPackages } from "../../image/packages/package-index.ts";
import { fetchPackagesIndex, fetchRelease, type Suite } from "../../image/packages/release.ts";
import { resolvePackages } from "../../image/packages/resolve.ts";
import type { Architecture } from "../../image/spec.ts";
import { withProgress } from "../../installer/progress.ts";
import { findProgram } from "../../installer/vm/machine.ts";
import { hostArchitecture } from "./test-lock.ts";

/** The program and the words before QEMU's own arguments. */
export type Emulator = readonly [program: string, ...words: string[]];

const MACHINE = "raspi4b";
const PROGRAM = "qemu-system-aarch64";
const SUITE: Suite = { archive: "debian", codename: "trixie", components: ["main"] };
/** Where Debian's QEMU looks for modules, and a name of the same length where nobody has any. */
const MODULES = "/usr/lib/";
const NO_MODULES = "/nowhere/";
const output = join(import.meta.dirname, "..", "output");

const linkers: Readonly<Record<Architecture, { libraries: string; linker: string }>> = {
  amd64: { libraries: "usr/lib/x86_64-linux-gnu", linker: "ld-linux-x86-64.so.2" },
  arm64: { libraries: "usr/lib/aarch64-linux-gnu", linker: "ld-linux-aarch64.so.1" },
};

/** The emulator, or in words why there is none. */
export async function findRaspberryPi4(): Promise<Emulator | string> {
  const own = findProgram(PROGRAM);
  if (own !== undefined && knowsMachine([own])) return [own];
  if (process.platform !== "linux") return `no ${PROGRAM} of version 9 or newer`;
  const folder = join(output, `qemu-trixie-${hostArchitecture}`);
  try {
    if (!existsSync(folder)) await unpackQemu(folder);
  } catch (error) {
    return `no ${PROGRAM} of version 9 or newer, and Debian 13's cannot be had: ${(error as Error).message}`;
  }
  const unpacked = emulatorIn(folder);
  return knowsMachine(unpacked) ? unpacked : `Debian 13's ${PROGRAM} in ${folder} does not run here`;
}

function emulatorIn(folder: string): Emulator {
  const { libraries, linker } = linkers[hostArchitecture];
  const path = join(folder, libraries);
  return [join(path, linker), "--library-path", path, join(folder, "usr/bin", PROGRAM)];
}

function knowsMachine([program, ...words]: Emulator): boolean {
  const { stdout } = spawnSync(program, [...words, "-machine", "help"], { encoding: "utf8" });
  return stdout?.split("\n").some((line) => line.startsWith(`${MACHINE} `)) ?? false;
}

/** All or nothing. Throws what the downloads and the resolver throw. */
async function unpackQemu(folder: string): Promise<void> {
  await mkdir(output, { recursive: true });
  const mirrors = await chooseMirrors({ env: process.env });
  const packages = await qemuPackages(mirrors);
  const bytes = packages.reduce((sum, { size }) => sum + size, 0);
  console.log(
    `Fetching Debian 13's QEMU, which knows the Raspberry Pi 4: ${packages.length} packages, ${(bytes / 1e6).toFixed(0)} MB`,
  );
  const paths = await withProgress(process.stderr, (onProgress) =>
    fetchPackages(packages, {
      cache: defaultCacheDirectory(process.env),
      mirrors,
      lockTime: Math.floor(Date.now() / 1000),
      onProgress,
    }),
  );
  const aside = await mkdtemp(`${folder}.part-`);
  try {
    for (const path of paths.values()) await unpackLibraries(path, aside);
    await rename(aside, folder);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

async function qemuPackages(mirrors: Mirrors): Promise<LockedPackage[]> {
  const source = { mirror: mirrors.debian, now: Date.now() / 1000 };
  const release = await fetchRelease(SUITE, source, undefined);
  const text = await fetchPackagesIndex(release, "main", hostArchitecture, source);
  const selection = {
    packages: [{ name: "qemu-system-arm", reason: "the emulator" }],
    leftOut: { "qemu-system-data": "firmware and key maps of other machines", "ipxe-qemu": "network boot" },
    preferred: {},
  };
  return resolvePackages(selection, indexPackages([{ archive: "debian", backports: false, text }]));
}

/** The program and what it is linked to. */
async function unpackLibraries(path: string, into: string): Promise<void> {
  const { entries } = await loadPackage(path);
  const { libraries } = linkers[hostArchitecture];
  for (const entry of entries) {
    if (!entry.path.startsWith(`${libraries}/`) && entry.path !== `usr/bin/${PROGRAM}`) continue;
    const target = join(into, entry.path);
    await mkdir(dirname(target), { recursive: true });
    if (entry.type === "symlink") await symlink(entry.target, target);
    if (entry.type !== "file") continue;
    const content = target.endsWith(PROGRAM) ? withoutModules(entry.content) : entry.content;
    await writeFile(target, content, { mode: entry.mode });
  }
}

/** The modules of the computer's own QEMU are of another build, and to be offered them can end this one. */
function withoutModules(program: Uint8Array): Buffer {
  const patched = Buffer.from(program);
  const folder = `${linkers[hostArchitecture].libraries}/qemu\0`.replace(/^usr\/lib\//, MODULES);
  const at = patched.indexOf(folder);
  if (at < 0) throw new Error(`${PROGRAM} does not name its folder of modules`);
  patched.write(NO_MODULES, at);
  return patched;
}
