/**
 * Finished root file systems in the cache, each with its kernel and boot files in a folder of its own that is named
 * after all it was made of. Called by build-rootfs.ts. Several builds may use one cache at once: a folder of a
 * final name is always whole, and none that was used lately is removed.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { syncFolder, syncTree } from "../durable.ts";
import { hashFile } from "../file-hash.ts";
import type { Syslinux } from "../formats/syslinux.ts";
import { makeFolder } from "../make-folder.ts";
import { renameWhenFree } from "../rename.ts";
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

/**
 * What is in the folder, and the SHA-256 of that. All that is read is compared with it: a cache is not to be trusted with
 * every disk, and what is damaged is made anew.
 */
const hexadecimal = z.string().regex(/^[0-9a-f]{64}$/);
const contentsSchema = z.strictObject({
  /** Of the squashfs. */
  bytes: z.int().positive(),
  /** SHA-256 of every file by its path in the folder, on every system with "/". */
  files: z.record(z.string().regex(/^(?:dtb\/|firmware\/)?[\w.+-]+$/), hexadecimal),
});
const manifestSchema = z.strictObject({ sha256: hexadecimal, contents: contentsSchema });
type Contents = z.infer<typeof contentsSchema>;

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
const manifestName = "manifest.json";
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
    // EIO: a disk that cannot read it may still have room elsewhere.
    if (hasCode(error, "ENOENT", "EIO", "EISDIR", "ENOTDIR")) return undefined;
    throw error;
  }
}

async function readPieces(folder: string): Promise<StoredRootfs | undefined> {
  const contents = await readManifest(folder);
  const path = join(folder, squashfsName);
  const sha256 = contents?.files[squashfsName];
  if (!contents || sha256 === undefined || (await hashFile(path)).sha256 !== sha256) return undefined;
  const pieces = new Map<string, Uint8Array>();
  for (const [name, wanted] of Object.entries(contents.files)) {
    if (name === squashfsName) continue;
    const piece = await readFile(join(folder, name));
    if (hashOf(piece) !== wanted) return undefined;
    pieces.set(name, piece);
  }
  const boot = bootOf(pieces);
  const sbom = pieces.get(sbomName);
  return boot && sbom && { path, bytes: contents.bytes, sha256, boot, sbom };
}

/** Undefined for a damaged one, or one of another version of this program. */
async function readManifest(folder: string): Promise<Contents | undefined> {
  const text = await readFile(join(folder, manifestName), "utf8");
  try {
    const { sha256, contents } = manifestSchema.parse(JSON.parse(text));
    return hashOf(JSON.stringify(contents)) === sha256 ? contents : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
    throw error;
  }
}

/** The boot files by their path in the folder. */
function piecesOf(boot: BootPieces): Map<string, Uint8Array> {
  const below = (folder: string, files: ReadonlyMap<string, Uint8Array>) =>
    [...files].map(([name, content]): [string, Uint8Array] => [`${folder}/${name}`, content]);
  const { biosLoader } = boot;
  const loaderParts = Object.entries(biosLoaderFiles) as [keyof Syslinux, string][];
  return new Map<string, Uint8Array>([
    ["vmlinuz", boot.kernel],
    ["initrd", boot.initramfs],
    ["loader.efi", boot.bootLoader],
    ...below("dtb", boot.deviceTrees),
    ...below("firmware", boot.firmware),
    ...(biosLoader ? loaderParts.map(([part, name]): [string, Uint8Array] => [name, biosLoader[part]]) : []),
  ]);
}

/** The reverse; undefined when one that every system has is missing. */
function bootOf(pieces: ReadonlyMap<string, Uint8Array>): BootPieces | undefined {
  const kernel = pieces.get("vmlinuz");
  const initramfs = pieces.get("initrd");
  const bootLoader = pieces.get("loader.efi");
  if (!kernel || !initramfs || !bootLoader) return undefined;
  const below = (folder: string) =>
    new Map(
      [...pieces].flatMap(([path, content]): [string, Uint8Array][] =>
        path.startsWith(folder) ? [[path.slice(folder.length), content]] : [],
      ),
    );
  const loaderParts = Object.entries(biosLoaderFiles).map(([part, name]) => [part, pieces.get(name)]);
  const hasLoader = loaderParts.every(([, content]) => content !== undefined);
  return {
    ...{ kernel, initramfs, bootLoader },
    ...{ deviceTrees: below("dtb/"), firmware: below("firmware/") },
    biosLoader: hasLoader ? (Object.fromEntries(loaderParts) as Syslinux) : undefined,
  };
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
  await makeFolder(dirname(folder));
  const aside = await mkdtemp(`${folder}.part-`);
  try {
    await chmod(aside, 0o755); // nothing in it is secret
    const { bytes } = await writeSquashfs(join(aside, squashfsName));
    const { sha256 } = await hashFile(join(aside, squashfsName));
    const pieces = new Map([...piecesOf(boot), [sbomName, sbom] as const]);
    for (const name of ["dtb", "firmware"]) await mkdir(join(aside, name));
    for (const [name, content] of pieces) await writeFile(join(aside, name), content);
    const files = Object.fromEntries([...pieces].map(([name, content]) => [name, hashOf(content)]));
    const contents: Contents = { bytes, files: { [squashfsName]: sha256, ...files } };
    const manifest = { sha256: hashOf(JSON.stringify(contents)), contents };
    await writeFile(join(aside, manifestName), JSON.stringify(manifest, null, 2));
    // A name must not outlive a power cut that what it stands for does not.
    await syncTree(aside);
    while (!(await moveIfFree(aside, folder))) {
      const there = await readRootfs(folder);
      if (there) {
        await rm(aside, { recursive: true });
        return there;
      }
      await removeFolder(folder);
    }
    await syncFolder(dirname(folder));
    return { path: join(folder, squashfsName), bytes, sha256, boot, sbom };
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    throw error;
  }
}

async function moveIfFree(from: string, to: string): Promise<boolean> {
  try {
    await renameWhenFree(from, to, { isTaken: async () => (await modifiedAt(to)) !== undefined });
    return true;
  } catch (error) {
    // POSIX knows the first two, Windows says the third of any folder that exists.
    if (hasCode(error, "ENOTEMPTY", "EEXIST", "EPERM") && (await modifiedAt(to)) !== undefined) return false;
    throw error;
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
    if (architecture === undefined) continue;
    const there = await lstat(path).catch((error: unknown) => {
      if (!hasCode(error, "ENOENT")) throw error;
    });
    // No file and no link: those are somebody else's.
    if (!there?.isDirectory()) continue;
    found.push({ path, architecture, whole: suffix === undefined, used: there.mtimeMs });
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
    await renameWhenFree(folder, old);
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

function hashOf(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}
