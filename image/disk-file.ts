/**
 * Makes the disk file of a virtual machine, qcow2 or VMDK, from a finished image. Called by image/build.ts. The disk that
 * it shows is larger than the image, so that nobody has to enlarge it: the file grows only with what is written to it.
 */
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { IMAGE_MODE, type PackedImage } from "./compressed-image.ts";
import { hashFile } from "./file-hash.ts";
import { writeQcow2 } from "./formats/qcow2.ts";
import { PIECE_BYTES, roundUp } from "./formats/virtual-disk.ts";
import { writeVmdk } from "./formats/vmdk.ts";

export type DiskFormat = "qcow2" | "vmdk";

/** Room for the mail of some hundred people; the file can be enlarged further by its hypervisor's means. */
const DISK_BYTES = 8 * 2 ** 30;

/**
 * Writes the file `to`, which must not be there, from the image `from` of `imageBytes`; `finalName` is the name that it
 * will have. Throws what the file system says, and an AbortError when `signal` aborts.
 */
export async function writeDiskFile(
  format: DiskFormat,
  { from, to, finalName }: Readonly<{ from: string; to: string; finalName: string }>,
  imageBytes: number,
  onProgress: (done: number) => void,
  signal?: AbortSignal,
): Promise<PackedImage> {
  {
    await using source = await open(from);
    await using target = await open(to, "wx", IMAGE_MODE);
    const diskBytes = Math.max(DISK_BYTES, roundUp(imageBytes, PIECE_BYTES));
    const options = { source, sourceBytes: imageBytes, diskBytes, target, onProgress, signal };
    await (format === "qcow2" ? writeQcow2(options) : writeVmdk({ ...options, name: basename(finalName) }));
    await target.sync();
  }
  const [image, file] = [await hashFile(from, signal), await hashFile(to, signal)];
  return { imageSha256: image.sha256, bytes: file.bytes, sha256: file.sha256 };
}
