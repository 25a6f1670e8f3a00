/**
 * Says what in an image does not come from a locked Debian package, a pinned npm package or the project's sources:
 * makes all of it again and compares every file, kind, mode, owner and time, and every byte that belongs to no file.
 * Called by `./homing audit`. Reads the image by the readers of this folder: no root, no foreign program.
 */
import { createHash } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { targets } from "../build.ts";
import { companionPath, packageList } from "../companion-file.ts";
import { copyImage, readStart, refuseDiskFile } from "../copy-image.ts";
import { isCompressed } from "../output-file.ts";
import type { ProgressReport } from "../progress.ts";
import type { RootfsOptions } from "../rootfs/build-rootfs.ts";
import type { TargetName } from "../targets/target.ts";
import { makeTemporaryFolder, TEMPORARY_VARIABLE } from "../temporary-folder.ts";
import { compareTrees, type Finding } from "./compare.ts";
import { differingRuns } from "./disk-bytes.ts";
import { type Expected, makeExpected } from "./expected.ts";
import { readFat } from "./fat-reader.ts";
import { type FoundPartition, readPartitions } from "./partition-reader.ts";
import { AuditError, readFileAt, readFrom, readRegionsAt } from "./read-at.ts";
import { readSquashfs, squashfsTime } from "./squashfs-reader.ts";

export { AuditError };

export type AuditOptions = Omit<RootfsOptions, "architecture"> &
  Readonly<{
    image: string;
    /** Which files a relay folder with these settings may have, of those found; their content is the relay's own. */
    relayFiles: (settings: Uint8Array, found: readonly string[]) => readonly string[];
    /** The relay folder by path, to be compared with the image's. */
    relay?: ReadonlyMap<string, Uint8Array>;
  }>;

export type Audit = Readonly<{
  target: TargetName;
  /** How many files, links and folders of the root file system and files of the boot partition have which origin. */
  origins: ReadonlyMap<string, number>;
  relayFiles: readonly string[];
  /** What has no known origin, or is not as its origin has it; empty for an image that was built from these. */
  findings: readonly Finding[];
}>;

/** The second root partition and the data partition are made at the first boot (image/initramfs/init.sh). */
const PARTITIONS_AS_BUILT = 2;
const SQUASHFS_ALIGNMENT = 4096;
const RELAY_FOLDER = "relay/";

/** Throws AuditError or ImageCopyError when the file is no image that can be judged, and what building throws. */
export async function auditImage(options: AuditOptions): Promise<Audit> {
  try {
    const start = await readStart(options.image).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
      throw new AuditError("there is no such file; ./homing build makes images", { cause: error });
    });
    refuseDiskFile(options.image, start);
    if (!isCompressed(start)) return await judge(options, options.image);
    await using folder = await temporaryFolder();
    const image = join(folder.path, "image");
    options.onProgress?.({ stage: "Decompressing the image" });
    const mend = `Make room, or name another folder in ${TEMPORARY_VARIABLE}.`;
    await copyImage(options.image, image, mend, options.signal);
    return await judge(options, image);
  } catch (error) {
    if (!(error instanceof AuditError)) throw error;
    throw new AuditError(`${options.image} cannot be judged: ${error.message}`, { cause: error });
  }
}

/** Readable by its owner alone; it goes with what is in it. */
async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await makeTemporaryFolder("homing-audit-image-");
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** The image is in the file at `path`, not compressed. */
async function judge(options: AuditOptions, path: string): Promise<Audit> {
  const report: ProgressReport = options.onProgress ?? (() => {});
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const read = readFileAt(file);
  const { table, partitions } = await readPartitions(read);
  const target = targets[table === "gpt" ? "vm" : "pi"];
  const [bootPartition, rootPartition] = partitions as readonly (FoundPartition | undefined)[];
  if (!bootPartition || !rootPartition) throw new AuditError("it does not have the partitions of an image");
  if (partitions.length > PARTITIONS_AS_BUILT) {
    throw new AuditError(
      "it has been booted: accounts and mail are in it, and its relay folder has moved. Only an image as it was " +
        "built can be judged",
    );
  }
  const root = readFrom(read, rootPartition.startBytes);
  const time = await squashfsTime(root);
  if (time !== options.lock.generated) {
    throw new AuditError(
      `it is made of the Debian packages of ${day(time)}, and the lock file is of ${day(options.lock.generated)}: ` +
        "give the lock file it was built with (--lock FILE; a build with --refresh has left it as " +
        `${companionPath(options.image, packageList)})`,
    );
  }

  const boot = await readFat(readFrom(read, bootPartition.startBytes));
  const relay = new Map<string, Buffer>();
  for (const [path, content] of boot) {
    const inside = path.startsWith(RELAY_FOLDER) ? path.slice(RELAY_FOLDER.length) : "";
    if (inside !== "" && !inside.endsWith("/")) relay.set(inside, content);
  }
  const settings = relay.get("relay.toml");
  if (!settings) throw new AuditError("its boot partition holds no relay folder");
  const relayFiles = options.relayFiles(settings, [...relay.keys()]);
  const expected = await makeExpected({ ...options, architecture: target.architecture });

  report({ stage: "Reading the root file system" });
  const found = await readSquashfs(
    root,
    (done, total) => report({ stage: "Reading the root file system", done, total, unit: "files" }),
    options.signal,
  );
  const findings: Finding[] = compareTrees(found.entries, expected.entries, time);

  if (found.unreferencedBytes > 0) {
    findings.push({
      place: "root partition",
      path: `${found.unreferencedBytes} bytes`,
      problem: "of the root file system belong to no file",
    });
  }

  report({ stage: "Reading the rest of the disk" });
  const rootfsBytes = Math.ceil(found.bytes / SQUASHFS_ALIGNMENT) * SQUASHFS_ALIGNMENT;
  const disk = target.layOut({ boot: expected.boot, rootfsBytes, relay: options.relay ?? relay, time });
  const asBuilt = readRegionsAt(disk.regions);
  const expectedBoot = await readFat(
    readFrom(asBuilt, (await readPartitions(asBuilt)).partitions[0]!.startBytes),
  );
  findings.push(...compareBoot(boot, expectedBoot, new Set(relayFiles)));
  // Bytes of no file: the partition table, boot code, what a file system does not use.
  const bootIsSound = findings.every(({ place }) => place !== "boot partition");
  const inRange = (at: number, { startBytes, sizeBytes }: FoundPartition) =>
    at >= startBytes && at < startBytes + sizeBytes;
  const length = Math.max(size, disk.sizeBytes);
  const rootfs = { start: rootPartition.startBytes, end: rootPartition.startBytes + found.bytes };
  for (const { start, bytes } of await differingRuns({ read, asBuilt, length, skip: rootfs, ...options })) {
    const inBoot = inRange(start, bootPartition);
    // A file of the boot partition that differs is told already.
    if (inBoot && !bootIsSound) continue;
    const where = inBoot ? "boot partition" : inRange(start, rootPartition) ? "root partition" : "disk";
    findings.push({
      place: where,
      path: `bytes ${start} to ${start + bytes - 1}`,
      problem: "differ from what a build writes, outside of any file",
    });
  }
  return {
    target: target.name,
    origins: countOrigins(expected, expectedBoot),
    relayFiles: [...relay.keys()].sort(),
    findings,
  };
}

/** The files of the boot partition; folders are of no account where they hold nothing. */
function compareBoot(
  found: ReadonlyMap<string, Buffer>,
  expected: ReadonlyMap<string, Buffer>,
  relayFiles: ReadonlySet<string>,
): Finding[] {
  const findings: Finding[] = [];
  const add = (path: string, problem: string) => findings.push({ place: "boot partition", path, problem });
  for (const [path, content] of found) {
    const before = expected.get(path);
    if (
      path.startsWith(RELAY_FOLDER) &&
      !path.endsWith("/") &&
      !relayFiles.has(path.slice(RELAY_FOLDER.length))
    ) {
      add(path, "is not a file that a relay folder has");
    } else if (before === undefined) add(path, "is nothing that a build writes");
    else if (!content.equals(before)) add(path, "differs from what a build writes");
  }
  for (const path of expected.keys()) if (!found.has(path)) add(path, "is missing");
  return findings;
}

function countOrigins(expected: Expected, boot: ReadonlyMap<string, Buffer>): Map<string, number> {
  const counts = new Map<string, number>();
  const count = (origin: string) => counts.set(origin, (counts.get(origin) ?? 0) + 1);
  for (const { origin } of expected.entries.values()) if (origin !== undefined) count(origin);
  for (const [path, content] of boot) {
    if (path.endsWith("/")) continue;
    const packaged = expected.packageByHash.get(createHash("sha256").update(content).digest("hex"));
    if (packaged !== undefined) count(`package ${packaged}`);
    else count(path.startsWith(RELAY_FOLDER) ? "the relay folder" : "image/targets and image/initramfs");
  }
  return new Map([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function day(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
