/** An image with all by which one is known (image/output-file.ts) and nothing behind, for tests that write it somewhere. */
import { open, truncate } from "node:fs/promises";
import { targets } from "../../image/build.ts";
import { writeRegions } from "../../image/formats/regions.ts";

/** All that tells an image lies before; what follows makes no difference to writing. */
export const SMALL_IMAGE_BYTES = 8 << 20;
/** The fourth record of an MBR: the data partition, which the device makes. */
export const DATA_PARTITION_TYPE = 446 + 3 * 16 + 4;

const piece = Buffer.from("piece");

export async function makeSmallImage(path: string): Promise<void> {
  const boot = {
    kernel: piece,
    initramfs: piece,
    bootLoader: piece,
    deviceTrees: new Map(),
    firmware: new Map(),
    biosLoader: undefined,
  };
  const disk = targets.pi.layOut({ boot, rootfsBytes: 4096, relay: new Map(), time: 1_790_000_000 });
  await using file = await open(path, "w");
  await writeRegions(file, disk.regions);
  await truncate(path, SMALL_IMAGE_BYTES);
}

/** As it is after its first boot: with accounts and mail. `path`: a file or disk that holds an image. */
export async function markAsBooted(path: string): Promise<void> {
  await using disk = await open(path, "r+");
  await disk.write(Buffer.from([0x83]), 0, 1, DATA_PARTITION_TYPE);
}
