/**
 * Judges the place where an image shall be written before any work is done: it must be a new file, or an image that
 * Homing made, in a folder that takes files. Called by image/build.ts and installer/build-relay.ts; who reads images takes
 * their head from here. Writes nothing but an empty file, which it removes.
 * An image is known by its partition table and the boot partition's FAT, both as image/targets writes them; one that is
 * compressed by zstd is looked into.
 */
import { createReadStream } from "node:fs";
import { open, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { createZstdDecompress } from "node:zlib";
import { isQcow2, readQcow2 } from "./formats/qcow2.ts";
import { isVmdk, readVmdk } from "./formats/vmdk.ts";
import { partitions, SECTOR_BYTES } from "./targets/target.ts";
import { whyNothingAside } from "./written-aside.ts";

/** Nothing can or may be written at the path; the message says why and what to do. */
export class OutputFileError extends Error {
  override name = "OutputFileError";
}

/** MBR: "55 AA" at the end of the sector, records of 16 bytes from 446 with the type at 4 (UEFI 2.10 §5.2.1). */
const MBR = { signature: 510, records: 446, recordBytes: 16, type: 4, gptProtective: 0xee } as const;
/** GPT as image/formats/gpt.ts writes it: the entries of 128 bytes begin in sector 2 with their type. */
const GPT = { entries: 2 * SECTOR_BYTES, entryBytes: 128, typeBytes: 16 } as const;
/** FAT32 boot sector: the volume label (11 bytes, padded by spaces). */
const FAT_LABEL = { at: 71, text: "HOMING     " } as const;
/** The device makes partitions 3 and 4 at its first boot (image/initramfs/init.sh). */
const MADE_AT_FIRST_BOOT = [3, 4];
/** All that is looked at: the partition table and the FAT's first sector. */
const HEAD_BYTES = partitions.boot.startBytes + SECTOR_BYTES;
/** RFC 8878 §3.1.1. */
const ZSTD_MAGIC = 0xfd2fb528;

/**
 * The absolute path to write to, links followed. Throws OutputFileError when something else than an image of ours
 * is there, when its folder is missing or takes no files, and, with `keepUsed`, when the image there has been booted: accounts and mail
 * are in it.
 */
export async function checkOutputFile(out: string, { keepUsed }: { keepUsed: boolean }): Promise<string> {
  const path = resolve(out);
  const folder = await realpath(dirname(path)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
    throw new OutputFileError(`there is no folder ${dirname(path)} for the image; make it first`);
  });
  const real = await realpath(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (real === undefined) {
    const file = join(folder, basename(path));
    await checkFolder(file);
    return file;
  }
  const there = await stat(real);
  if (there.isDirectory()) {
    throw new OutputFileError(`${out} is a folder; the image needs a file name of its own, like relay.img`);
  }
  if (!there.isFile()) {
    throw new OutputFileError(`${out} is not a plain file; make the image first, then copy it to the device`);
  }
  const head = await readHead(real);
  if (!isImage(head)) {
    throw new OutputFileError(
      `${out} exists and is no disk image made by Homing, so it is not replaced; give another name`,
    );
  }
  if (keepUsed && wasBooted(head)) {
    throw new OutputFileError(
      `${out} has been booted: the relay's accounts and mail are in it and would be lost. ` +
        "Give another name with --out, or say --replace to give them up.",
    );
  }
  await checkFolder(real);
  return real;
}

/** What is written goes into a new file beside the image first. */
async function checkFolder(image: string): Promise<void> {
  const reason = await whyNothingAside(image);
  if (reason === undefined) return;
  throw new OutputFileError(
    `no image can be written to the folder ${dirname(image)}: ${reason}. Give another place with --out.`,
  );
}

/** Whether a disk or file that begins so was made by Homing. */
export function isImage(head: Buffer): boolean {
  const table = head.subarray(0, SECTOR_BYTES);
  const fat = head.subarray(partitions.boot.startBytes);
  const label = fat.toString("latin1", FAT_LABEL.at, FAT_LABEL.at + FAT_LABEL.text.length);
  return (
    [table, fat].every((sector) => sector.readUInt16LE(MBR.signature) === 0xaa55) && label === FAT_LABEL.text
  );
}

/** Whether the image that begins so has been a relay: accounts and mail are in it. */
export function wasBooted(head: Buffer): boolean {
  const mbrType = (number: number) => head[MBR.records + (number - 1) * MBR.recordBytes + MBR.type];
  if (mbrType(1) !== MBR.gptProtective) return MADE_AT_FIRST_BOOT.some((number) => mbrType(number) !== 0);
  return MADE_AT_FIRST_BOOT.some((number) => {
    const start = GPT.entries + (number - 1) * GPT.entryBytes;
    return head.subarray(start, start + GPT.typeBytes).some((byte) => byte !== 0);
  });
}

/** The first HEAD_BYTES of the image in a file of any form (image/build.ts, ImageForm); zeros behind its end or what is damaged. */
export async function readHead(path: string): Promise<Buffer> {
  const head = Buffer.alloc(HEAD_BYTES);
  await using file = await open(path, "r");
  await file.read(head, 0, HEAD_BYTES, 0);
  if (isQcow2(head)) return await readQcow2(file, HEAD_BYTES);
  if (isVmdk(head)) return await readVmdk(file, HEAD_BYTES);
  return isCompressed(head) ? await decompressHead(path) : head;
}

/** A hypervisor's own kind of file, by its first bytes: neither a raw image nor one that is compressed. */
export function isDiskFile(start: Buffer): boolean {
  return isQcow2(start) || isVmdk(start);
}

/** By the first bytes of a file. */
export function isCompressed(start: Buffer): boolean {
  return start.readUInt32LE(0) === ZSTD_MAGIC;
}

export function isDecompressionError(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^Z(STD)?_/.test(String(error.code));
}

async function decompressHead(path: string): Promise<Buffer> {
  const head = Buffer.alloc(HEAD_BYTES);
  let length = 0;
  const compressed = createReadStream(path);
  const image = createZstdDecompress();
  compressed.on("error", (error) => image.destroy(error));
  try {
    for await (const chunk of compressed.pipe(image)) {
      length += (chunk as Buffer).copy(head, length);
      if (length === HEAD_BYTES) break;
    }
  } catch (error) {
    // Damaged: what is behind belongs to no image of ours. Anything else is the file system's word.
    if (!isDecompressionError(error)) throw error;
  } finally {
    compressed.destroy();
  }
  return head;
}
