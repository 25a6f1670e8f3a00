/**
 * Writes an image to a disk and reads it back. Called by `./homing flash` and the wizard. The first mebibyte, where
 * the partition table is, comes last: a disk whose writing was broken off starts nothing and looks like nothing.
 * On Linux the disk is held exclusively (O_EXCL, open(2)), so that nothing mounts it meanwhile, and reached past the
 * system's cache (O_DIRECT): progress is that of the disk, and what is read back comes from it and not from memory.
 */
import { createHash } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { createZstdDecompress } from "node:zlib";
import { ImageCopyError, readStart } from "../../image/copy-image.ts";
import { isCompressed, isDecompressionError } from "../../image/output-file.ts";
import type { ProgressReport } from "../../image/progress.ts";
import { readingStage, writingStage } from "./stages.ts";

/** What one write or read moves. A card wants large ones. */
const CHUNK_BYTES = 4 << 20;
/** Where the first partition begins at the earliest (image/targets); written last. */
const HEAD_BYTES = 1 << 20;
/** O_DIRECT wants whole blocks of the disk; none has larger ones. */
const BLOCK_BYTES = 4096;

/** The disk did not take the image; the message says how far it came and what to do. */
export class FlashError extends Error {
  override name = "FlashError";
}

/** The disk may not be opened for writing by this user. */
export class NoRightsError extends FlashError {
  override name = "NoRightsError";
}

export type Flash = Readonly<{
  image: string;
  /** Of the image when it is decompressed. */
  imageBytes: number;
  device: string;
  onProgress: ProgressReport;
  signal: AbortSignal;
}>;

/**
 * Resolves when every byte was read back as it was written. Throws NoRightsError, FlashError, ImageCopyError for a
 * damaged image, and the signal's reason. From the first report on the disk's old content is gone; it has a partition
 * table again once reading back begins.
 */
export async function writeDisk({ image, imageBytes, device, onProgress, signal }: Flash): Promise<void> {
  const path = rawDevice(device);
  await using disk = await openDisk(
    path,
    constants.O_RDWR | (constants.O_EXCL ?? 0) | (constants.O_DIRECT ?? 0),
  );
  const chunk = alignedBuffer(CHUNK_BYTES);
  const expected = createHash("sha256");
  const head = alignedBuffer(HEAD_BYTES);
  await explained(device, "written", async () => {
    onProgress({ stage: writingStage(device), done: 0, total: imageBytes, unit: "bytes" });
    await writeAll(disk, head, 0);
    let done = 0;
    for await (const length of chunksOf(image, chunk, signal)) {
      signal.throwIfAborted();
      if (done + length > imageBytes) throw new ImageCopyError(`${image} is larger than it says`);
      expected.update(chunk.subarray(0, length));
      if (done === 0) {
        chunk.copy(head, 0, 0, Math.min(length, HEAD_BYTES));
        chunk.fill(0, 0, HEAD_BYTES);
      }
      // The last one is filled up to a whole block.
      const whole = Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES;
      chunk.fill(0, length, whole);
      await writeAll(disk, chunk.subarray(0, whole), done);
      done += length;
      onProgress({ stage: writingStage(device), done, total: imageBytes, unit: "bytes" });
    }
    if (done !== imageBytes) throw new ImageCopyError(`${image} ends after ${done} of ${imageBytes} bytes`);
    await disk.sync();
    await writeAll(disk, head, 0);
    await disk.sync();
  });
  await explained(device, "read back", async () => {
    onProgress({ stage: readingStage, done: 0, total: imageBytes, unit: "bytes" });
    const found = createHash("sha256");
    for (let at = 0; at < imageBytes; ) {
      signal.throwIfAborted();
      const length = Math.min(chunk.length, imageBytes - at);
      const { bytesRead } = await disk.read(chunk, 0, Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES, at);
      if (bytesRead < length)
        throw new FlashError(`${device} ends at ${at + bytesRead} bytes: it is broken or a fake`);
      found.update(chunk.subarray(0, length));
      at += length;
      onProgress({ stage: readingStage, done: at, total: imageBytes, unit: "bytes" });
    }
    if (found.digest("hex") !== expected.digest("hex")) {
      throw new FlashError(
        `${device} does not hold what was written to it: take another card, or another reader`,
      );
    }
  });
}

/** A Mac's unbuffered name of the same disk: "/dev/rdisk4". */
function rawDevice(device: string): string {
  return process.platform === "darwin" ? device.replace(/^\/dev\/disk/, "/dev/rdisk") : device;
}

async function openDisk(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EACCES" || code === "EPERM") {
      throw new NoRightsError(`this user may not write to ${path}`, { cause: error });
    }
    if (code === "EBUSY") {
      throw new FlashError(`${path} is in use: unmount it, and close what works on it`, { cause: error });
    }
    if (code === "EROFS") throw new FlashError(`${path} is write-protected`, { cause: error });
    if (code === "ENOENT" || code === "ENXIO" || code === "ENOMEDIUM") {
      throw new FlashError(`there is no disk ${path} any more: was it pulled out?`, { cause: error });
    }
    throw error;
  }
}

/** What the disk itself answers becomes words. */
async function explained(device: string, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (
      code === "EIO" ||
      code === "ENXIO" ||
      code === "ENODEV" ||
      code === "ENOSPC" ||
      code === "EREMOTEIO"
    ) {
      throw new FlashError(
        `${device} cannot be ${what} (${code}): it was pulled out, it is broken, or it is smaller than it says`,
        { cause: error },
      );
    }
    throw error;
  }
}

async function writeAll(disk: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await disk.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}

/** Fills `chunk` with the image, decompressed if it is a .zst, again and again; gives how much of it was filled. */
async function* chunksOf(image: string, chunk: Buffer, signal: AbortSignal): AsyncGenerator<number> {
  const source = createReadStream(image, { highWaterMark: CHUNK_BYTES, signal });
  const content = isCompressed(await readStart(image))
    ? source.pipe(createZstdDecompress({ chunkSize: CHUNK_BYTES }))
    : source;
  if (content !== source) source.on("error", (error) => content.destroy(error));
  let filled = 0;
  try {
    for await (const piece of content as AsyncIterable<Buffer>) {
      for (let at = 0; at < piece.length; ) {
        const taken = piece.copy(chunk, filled, at);
        at += taken;
        filled += taken;
        if (filled === chunk.length) {
          yield filled;
          filled = 0;
        }
      }
    }
  } catch (error) {
    signal.throwIfAborted();
    if (isDecompressionError(error)) {
      throw new ImageCopyError(`${image} is damaged: it cannot be decompressed`, { cause: error });
    }
    throw error;
  } finally {
    source.destroy();
  }
  if (filled > 0) yield filled;
}

/** What is used of WebAssembly; Node's types have it not. */
type WithWasm = Readonly<{
  WebAssembly: Readonly<{ Memory: new (size: Readonly<{ initial: number }>) => { buffer: ArrayBuffer } }>;
}>;
const WASM_PAGE_BYTES = 65_536;

/** Begins on a page of memory, as O_DIRECT asks: WebAssembly's memory does, a Buffer's need not. */
function alignedBuffer(bytes: number): Buffer {
  const { Memory } = (globalThis as unknown as WithWasm).WebAssembly;
  return Buffer.from(new Memory({ initial: Math.ceil(bytes / WASM_PAGE_BYTES) }).buffer, 0, bytes);
}
