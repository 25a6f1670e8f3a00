/** What is known of an image before it is written to a disk: that it is one of ours, whole, and how large. Reads only. */
import { open, stat } from "node:fs/promises";
import { readStart } from "../../image/copy-image.ts";
import { isCompressed, isDiskFile, isImage, readHead } from "../../image/output-file.ts";

/** The file is no image that can be written to a disk; the message says why. */
export class ImageFileError extends Error {
  override name = "ImageFileError";
}

/** A zstd frame's header: magic, descriptor, and up to 13 bytes behind (RFC 8878 §3.1.1.1). */
const FRAME_HEADER_BYTES = 18;

/** Bytes of the image in the file, decompressed. Throws ImageFileError and the errors of the file system. */
export async function imageBytes(path: string): Promise<number> {
  const there = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") throw new ImageFileError(`there is no image ${path}`, { cause: error });
    throw error;
  });
  if (!there.isFile()) {
    throw new ImageFileError(`${path} is no image file; give the one that ./homing build made`);
  }
  if (!isImage(await readHead(path))) {
    throw new ImageFileError(`${path} is no disk image made by Homing`);
  }
  if (isDiskFile(await readStart(path))) {
    throw new ImageFileError(
      `${path} is a hypervisor's disk file; build the relay with --format raw for a card`,
    );
  }
  const start = Buffer.alloc(FRAME_HEADER_BYTES);
  await using file = await open(path, "r");
  await file.read(start, 0, start.length, 0);
  return isCompressed(start) ? contentSize(path, start) : there.size;
}

/** Frame_Content_Size, which every image has that ./homing build compressed. */
function contentSize(path: string, start: Buffer): number {
  const descriptor = start[4]!;
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  const at = 5 + (singleSegment ? 0 : 1) + dictionaryBytes;
  switch (descriptor >> 6) {
    case 1:
      return start.readUInt16LE(at) + 256;
    case 2:
      return start.readUInt32LE(at);
    case 3:
      return Number(start.readBigUInt64LE(at));
    default:
      throw new ImageFileError(`${path} does not say how large it is; decompress it first: zstd -d ${path}`);
  }
}
