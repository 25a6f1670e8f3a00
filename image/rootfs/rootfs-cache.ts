/**
 * Finished root file systems in the cache, each with its kernel and boot files in a folder of its own that is named
 * after all it was made of. Called by build-rootfs.ts. Several builds may use one cache at once: a folder of a
 * final name is always whole, and none that was used lately is removed.
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Syslinux } from "../formats/syslinux.ts";
import type { BootPieces } from "../targets/target.ts";

export type StoredRootfs = Readonly<{
  /** The squashfs image, a file in the cache: copy it, do not change it. */
  path: string;
  bytes: number;
  /** Hexadecimal. */
  sha256: string;
  boot: BootPieces;
  /** The bill of materials (image/sbom), which is in the squashfs too. */
  sbom: Uint8Array;
}>;

/** What stands beside the squashfs. */
type Manifest = {
  bytes: number;
  sha256: string;
  deviceTrees: string[];
  firmware: string[];
  biosLoader: boolean;
};

/** Names of the parts of the loader for a BIOS. */
const biosLoaderFiles = {
  mbr: "gptmbr.bin",
  bootSector: "ldlinux.bss",
  ldlinuxSys: "ldlinux.sys",
  ldlinuxC32: "ldlinux.c32",
} as const satisfies Record<keyof Syslinux, string>;

/** Root file systems that stay whatever their age; each takes some 140 MB. Enough to go back and forth. */
export const KEPT_PER_ARCHITECTURE = 3;
/** One that was used less long ago stays too: an image may still be copied from it, or a test run on it. */
export const IN_USE_MILLISECONDS = 6 * 3600 * 1000;

const squashfsName = "root.squashfs";
const sbomName = "sbom.cdx.json";
/** Folders of ours; "part" is being made, "old" is being removed. Anything else is left alone. */
const folderPattern = /^(amd64|arm64)-[0-9a-f]{32}(\.(?:part|old)-\w+)?$/;

/** The root file system in `folder`, undefined when there is none or a damaged one. Counts as a use. */
export async function readRootfs(folder: string): Promise<StoredRootfs | undefined> {
  try {
    const now = new Date();
    // First of all, so that no other build removes it from here on. A cache may be read-only, or another user's.
    await utimes(folder, now, now).catch((error: unknown) => {
      if (!hasCode(error, "EROFS", "EACCES", "EPERM")) throw error;
    });
    return await readPieces(folder);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

async function readPieces(folder: string): Promise<StoredRootfs | undefined> {
  const manifest: Manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
  const path = join(folder, squashfsName);
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
    biosLoader: manifest.biosLoader
      ? {
          mbr: await read(biosLoaderFiles.mbr),
          bootSector: await read(biosLoaderFiles.bootSector),
          ldlinuxSys: await read(biosLoaderFiles.ldlinuxSys),
          ldlinuxC32: await read(biosLoaderFiles.ldlinuxC32),
        }
      : undefined,
  };
  return { path, bytes: manifest.bytes, sha256: manifest.sha256, boot, sbom: await read(sbomName) };
}

/**
 * Makes `folder`, all or nothing; `writeSquashfs` writes the file it is given. When another build was faster with
 * the same folder, its result is taken.
 */
export async function storeRootfs(
  folder: string,
  { boot, sbom }: Pick<StoredRootfs, "boot" | "sbom">,
  writeSquashfs: (path: string) => Promise<{ bytes: number }>,
): Promise<StoredRootfs> {
  await mkdir(dirname(folder), { recursive: true });
  const aside = await mkdtemp(`${folder}.part-`);
  try {
    await chmod(aside, 0o755); // nothing in it is secret
    const { bytes } = await writeSquashfs(join(aside, squashfsName));
    const sha256 = await hashFile(join(aside, squashfsName));
    await writeBootPieces(aside, boot);
    await writeFile(join(aside, sbomName), sbom);
    const manifest: Manifest = {
      bytes,
      sha256,
      deviceTrees: [...boot.deviceTrees.keys()],
      firmware: [...boot.firmware.keys()],
      biosLoader: boot.biosLoader !== undefined,
    };
    await writeFile(join(aside, "manifest.json"), JSON.stringify(manifest, null, 2));
    while (!(await moveIfFree(aside, folder))) {
      const there = await readRootfs(folder);
      if (there) {
        await rm(aside, { recursive: true });
        return there;
      }
      await removeFolder(folder);
    }
    return { path: join(folder, squashfsName), bytes, sha256, boot, sbom };
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    throw error;
  }
}

async function moveIfFree(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    // POSIX knows the first two, Windows says the third of any folder that exists.
    if (hasCode(error, "ENOTEMPTY", "EEXIST", "EPERM") && (await modifiedAt(to)) !== undefined) return false;
    throw error;
  }
}

async function writeBootPieces(folder: string, boot: BootPieces): Promise<void> {
  await mkdir(join(folder, "dtb"));
  await mkdir(join(folder, "firmware"));
  await writeFile(join(folder, "vmlinuz"), boot.kernel);
  await writeFile(join(folder, "initrd"), boot.initramfs);
  await writeFile(join(folder, "loader.efi"), boot.bootLoader);
  for (const [name, content] of boot.deviceTrees) await writeFile(join(folder, "dtb", name), content);
  for (const [name, content] of boot.firmware) await writeFile(join(folder, "firmware", name), content);
  if (boot.biosLoader === undefined) return;
  for (const [part, name] of Object.entries(biosLoaderFiles)) {
    await writeFile(join(folder, name), boot.biosLoader[part as keyof Syslinux]);
  }
}

export type RootfsFolder = Readonly<{
  path: string;
  /** False: being made or removed, or left by a build that was ended. */
  whole: boolean;
  /** In milliseconds since 1970. */
  used: number;
  /** Whether pruneRootfs leaves it. */
  stays: boolean;
}>;

/**
 * What is in `directory`, and what of it stays: the newest `kept` of each architecture, and what was used lately.
 * `now` in milliseconds since 1970.
 */
export async function listRootfs(directory: string, now: number, kept: number): Promise<RootfsFolder[]> {
  const found: { path: string; architecture: string; whole: boolean; used: number }[] = [];
  const names = await readdir(directory).catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  });
  for (const name of names) {
    const [, architecture, suffix] = folderPattern.exec(name) ?? [];
    const path = join(directory, name);
    const used = architecture === undefined ? undefined : await modifiedAt(path);
    if (architecture === undefined || used === undefined) continue;
    found.push({ path, architecture, whole: suffix === undefined, used });
  }
  const counts: Record<string, number> = {};
  return found
    .sort((a, b) => b.used - a.used)
    .map(({ architecture, ...folder }) => {
      const newer = counts[architecture] ?? 0;
      if (folder.whole) counts[architecture] = newer + 1;
      const stays = now - folder.used < IN_USE_MILLISECONDS || (folder.whole && newer < kept);
      return { ...folder, stays };
    });
}

/** Removes all that listRootfs does not let stay. */
export async function pruneRootfs(
  directory: string,
  now: number,
  kept: number = KEPT_PER_ARCHITECTURE,
): Promise<void> {
  for (const { path, used, stays } of await listRootfs(directory, now, kept)) {
    if (!stays) await removeFolder(path, used);
  }
}

/**
 * Takes the folder out of sight at once, then removes it. With `unusedSince`: only if it was not used since, in
 * milliseconds since 1970.
 */
async function removeFolder(folder: string, unusedSince?: number): Promise<void> {
  const old = `${folder.replace(/\.(?:part|old)-\w+$/, "")}.old-${randomBytes(4).toString("hex")}`;
  try {
    await rename(folder, old);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return; // another build removed it
    throw error;
  }
  // Another build may have begun to use it in the meantime; it then gets it back.
  if (unusedSince !== undefined && (await modifiedAt(old)) !== unusedSince && (await moveIfFree(old, folder)))
    return;
  await rm(old, { recursive: true, force: true });
}

/** In milliseconds since 1970; undefined when there is nothing. */
async function modifiedAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}
