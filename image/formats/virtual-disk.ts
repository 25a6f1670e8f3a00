/**
 * What qcow2.ts and vmdk.ts have in common: both keep a disk as pieces of 64 KiB, found through two levels of tables,
 * and leave out what is empty. Both files are grown by whoever writes to them, so the disk they show may be larger than
 * the image for nothing.
 */
import type { FileHandle } from "node:fs/promises";

/** A cluster of qcow2, a grain of VMDK: the default of both. */
export const PIECE_BYTES = 65_536;
const READ_BYTES = 64 * PIECE_BYTES;

export type DiskFileOptions = Readonly<{
  /** The raw image, read from its start to its end. */
  source: FileHandle;
  sourceBytes: number;
  /** What the disk shows to its machine, in bytes: at least the image, a multiple of PIECE_BYTES. */
  diskBytes: number;
  /** An empty file that stays open. */
  target: FileHandle;
  /** Bytes of the image that are done. */
  onProgress?: (done: number) => void;
  signal?: AbortSignal | undefined;
}>;

/**
 * Puts the pieces that are not empty one behind the other from `firstOffset`; gives each one's offset by its number, and to `onPiece` its
 * bytes, which are good until that returns.
 */
export async function writePieces(
  { source, sourceBytes, target, onProgress, signal }: DiskFileOptions,
  firstOffset: number,
  onPiece: (piece: number, bytes: Buffer) => void = () => {},
): Promise<Map<number, number>> {
  const offsets = new Map<number, number>();
  const buffer = Buffer.alloc(READ_BYTES);
  let end = firstOffset;
  for (let at = 0; at < sourceBytes; at += READ_BYTES) {
    signal?.throwIfAborted();
    const length = Math.min(READ_BYTES, sourceBytes - at);
    await readWhole(source, buffer.subarray(0, length), at);
    buffer.fill(0, length);
    for (let start = 0; start < length; start += PIECE_BYTES) {
      const piece = buffer.subarray(start, start + PIECE_BYTES);
      if (piece.every((byte) => byte === 0)) continue;
      await writeAt(target, piece, end);
      offsets.set((at + start) / PIECE_BYTES, end);
      onPiece((at + start) / PIECE_BYTES, piece);
      end += PIECE_BYTES;
    }
    onProgress?.(at + length);
  }
  return offsets;
}

export async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    written += (await file.write(bytes, written, bytes.length - written, position + written)).bytesWritten;
  }
}

/** Fills the buffer; what lies behind the end of the file stays as it was. */
export async function readWhole(file: FileHandle, buffer: Buffer, position: number): Promise<void> {
  // No file is so long: what points there is damaged.
  if (!Number.isSafeInteger(position + buffer.length)) return;
  for (let read = 0; read < buffer.length; ) {
    const { bytesRead } = await file.read(buffer, read, buffer.length - read, position + read);
    if (bytesRead === 0) return;
    read += bytesRead;
  }
}

/** The next whole number of `unit`s. */
export function roundUp(length: number, unit: number): number {
  return Math.ceil(length / unit) * unit;
}

/**
 * The first bytes that the disk shows. `find` gives the offset in the file of a piece, undefined for an empty one.
 * What lies behind the end of a damaged file reads as zeros.
 */
export async function readPieces(
  file: FileHandle,
  length: number,
  find: (piece: number) => Promise<number | undefined>,
  pieceBytes: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(roundUp(length, pieceBytes));
  for (let at = 0; at < length; at += pieceBytes) {
    const offset = await find(at / pieceBytes);
    if (offset !== undefined) await readWhole(file, bytes.subarray(at, at + pieceBytes), offset);
  }
  return bytes.subarray(0, length);
}
