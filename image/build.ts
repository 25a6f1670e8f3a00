/**
 * From a relay folder and Debian's packages to a disk image; the whole way, from top to bottom. Called by
 * `./homing build`, `./homing vm` and the boot tests.
 */
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type Companion, removeCompanions } from "./companion-file.ts";
import { compressImage, IMAGE_MODE } from "./compressed-image.ts";
import { type DiskFormat, writeDiskFile } from "./disk-file.ts";
import { hashFile } from "./file-hash.ts";
import { writeRegions } from "./formats/regions.ts";
import { explainNoRoom } from "./no-room.ts";
import { checkOutputFile } from "./output-file.ts";
import { prepareCache } from "./packages/cache.ts";
import type { ProgressReport } from "./progress.ts";
import { buildRootfs, type Rootfs, type RootfsOptions } from "./rootfs/build-rootfs.ts";
import { pi } from "./targets/pi.ts";
import type { Disk, Target, TargetName } from "./targets/target.ts";
import { vm } from "./targets/vm.ts";
import { writeAside } from "./written-aside.ts";

export const targets: Readonly<Record<TargetName, Target>> = { vm, pi };

/** What kind of file an image is written to: as it is on a disk, compressed by zstd, or as a hypervisor keeps disks. */
export type ImageForm = "raw" | "zst" | DiskFormat;

export type BuildOptions = Omit<RootfsOptions, "architecture"> &
  Readonly<{
    target: TargetName;
    /** The relay folder's files by path; they hold secret keys, so the image is as secret as they are. */
    relay: ReadonlyMap<string, Uint8Array>;
    /** The image file; made anew or replaced when it is complete. Nothing but an image is ever replaced. */
    out: string;
    /** Refuses to replace an image that has been booted, for it holds accounts and mail. */
    keepUsed?: boolean;
    /** What an earlier build may have left beside `out`: it goes when the image does that it tells of. */
    companions?: readonly Companion[];
    /** Makes `out` a zstd file that holds the image, or the disk file of a hypervisor. */
    form?: ImageForm;
  }>;

export type Image = Readonly<{
  /** Absolute path of the file that was written. */
  path: string;
  /** Size of the image itself, whatever the form of its file. */
  bytes: number;
  /** Of the image, hexadecimal. */
  sha256: string;
  /** Size and SHA-256 of the file when that is no raw image. */
  packed: Readonly<{ bytes: number; sha256: string }> | undefined;
  /** What the image is made of; its files lie in the cache. */
  rootfs: Rootfs;
}>;

const COPY_BYTES = 4 << 20;

/** Throws the errors of the steps, each with a name of its own; what was there before stays untouched then. */
export async function buildImage(options: BuildOptions): Promise<Image> {
  const { relay, lock, signal } = options;
  const report: ProgressReport = options.onProgress ?? (() => {});
  const path = await checkOutputFile(options.out, { keepUsed: options.keepUsed ?? false });
  await prepareCache(options.cache);
  const target = targets[options.target];
  const rootfs = await buildRootfs({ ...options, architecture: target.architecture });
  const disk = target.layOut({
    boot: rootfs.boot,
    rootfsBytes: rootfs.bytes,
    relay,
    time: lock.generated,
  });
  const content = rootfs.bytes + disk.regions.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const form = options.form ?? "raw";
  // The image itself is there until the other file is; compressing does not shrink it much.
  const needed = form === "raw" ? content : 2 * content;
  const finished = await writeAside(
    path,
    async (newName) => {
      const image = newName();
      await writeDisk(disk, rootfs, image, report, signal);
      const written = form === "raw" ? image : newName();
      const files = { from: image, to: written, finalName: path };
      const result = await (form === "raw"
        ? checkDisk(image, report, signal)
        : packDisk(form, files, disk.sizeBytes, report, signal));
      // Now, and not when the new ones are written: the disk may be full by then, or the power gone.
      await removeCompanions(path, options.companions ?? []);
      return { written, result };
    },
    (error) => explainNoRoom(error, path, needed, "Make room, or give another place with --out."),
  );
  return { path, bytes: disk.sizeBytes, rootfs, ...finished };
}

async function writeDisk(
  disk: Disk,
  rootfs: Rootfs,
  path: string,
  report: ProgressReport,
  signal: AbortSignal | undefined,
): Promise<void> {
  await using file = await open(path, "wx", IMAGE_MODE);
  // Sparse: what is not written reads as zeros and takes no room.
  await file.truncate(disk.sizeBytes);
  await writeRegions(file, disk.regions);
  await copyRootfs(rootfs, file, disk.rootfsOffset, report, signal);
  await file.sync();
}

async function copyRootfs(
  rootfs: Rootfs,
  file: FileHandle,
  offset: number,
  report: ProgressReport,
  signal: AbortSignal | undefined,
): Promise<void> {
  let done = 0;
  for await (const chunk of createReadStream(rootfs.path, { highWaterMark: COPY_BYTES })) {
    signal?.throwIfAborted();
    await writeRegions(file, [{ offset: offset + done, bytes: chunk as Buffer }]);
    done += (chunk as Buffer).length;
    report({ stage: "Writing the image", done, total: rootfs.bytes, unit: "bytes" });
  }
}

type Finished = Pick<Image, "sha256" | "packed">;

async function checkDisk(
  path: string,
  report: ProgressReport,
  signal: AbortSignal | undefined,
): Promise<Finished> {
  report({ stage: "Checking the image" });
  return { sha256: (await hashFile(path, signal)).sha256, packed: undefined };
}

async function packDisk(
  form: Exclude<ImageForm, "raw">,
  files: Readonly<{ from: string; to: string; finalName: string }>,
  total: number,
  report: ProgressReport,
  signal: AbortSignal | undefined,
): Promise<Finished> {
  const stage = form === "zst" ? "Compressing the image" : `Writing the image as ${form}`;
  const onProgress = (done: number) => report({ stage, done, total, unit: "bytes" });
  const { imageSha256, ...packed } = await (form === "zst"
    ? compressImage(files.from, files.to, total, onProgress, signal)
    : writeDiskFile(form, files, total, onProgress, signal));
  return { sha256: imageSha256, packed };
}
