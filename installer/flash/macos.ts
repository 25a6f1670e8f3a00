/**
 * The disks of a Mac as diskutil(8) lists them, its property lists turned into JSON by plutil(1). Pure; called by
 * listing.ts. The fields are those of `diskutil list -plist` and `diskutil info -plist`.
 */
import { z } from "zod";
import { type Disk, DiskListError, modelText, parseListing } from "./disk.ts";

const Volume = z.object({ MountPoint: z.string().optional() });
const Whole = Volume.extend({
  DeviceIdentifier: z.string(),
  Partitions: z.array(Volume).default([]),
  APFSVolumes: z.array(Volume).default([]),
  /** The partitions that an APFS container lies on. */
  APFSPhysicalStores: z.array(z.object({ DeviceIdentifier: z.string() })).default([]),
});
const Listing = z.object({ AllDisksAndPartitions: z.array(Whole) });
const Info = z.object({
  DeviceIdentifier: z.string(),
  MediaName: z.string().optional(),
  TotalSize: z.number().default(0),
  RemovableMediaOrExternalDevice: z.boolean().default(false),
  WritableMedia: z.boolean().default(true),
  VirtualOrPhysical: z.string().default("Unknown"),
});

/** The names of all disks, "disk4", to be asked one by one. Throws DiskListError. */
export function wholeDisks(list: string): string[] {
  return read(Listing, list).AllDisksAndPartitions.map(({ DeviceIdentifier }) => DeviceIdentifier);
}

/** `infos` are those of all `wholeDisks`. Throws DiskListError. */
export function parseDiskutil(list: string, infos: readonly string[]): Disk[] {
  const wholes = read(Listing, list).AllDisksAndPartitions;
  return infos
    .map((info) => read(Info, info))
    .filter(({ VirtualOrPhysical }) => VirtualOrPhysical !== "Virtual")
    .map((info) => {
      const mounts = mountsOn(info.DeviceIdentifier, wholes);
      const isForeign = (mount: string) => mount.startsWith("/Volumes/");
      return {
        device: `/dev/${info.DeviceIdentifier}`,
        model: modelText(info.MediaName),
        bytes: info.TotalSize,
        removable: info.RemovableMediaOrExternalDevice,
        readOnly: !info.WritableMedia,
        system: mounts.some((mount) => !isForeign(mount)),
        mounts: mounts.filter(isForeign),
      };
    });
}

/** Those of its partitions, and of the APFS containers that lie on them, which are listed as disks of their own. */
function mountsOn(disk: string, wholes: readonly z.infer<typeof Whole>[]): string[] {
  return wholes
    .filter(
      (whole) =>
        whole.DeviceIdentifier === disk ||
        whole.APFSPhysicalStores.some(({ DeviceIdentifier }) => wholeOf(DeviceIdentifier) === disk),
    )
    .flatMap((whole) => [whole, ...whole.Partitions, ...whole.APFSVolumes])
    .flatMap(({ MountPoint }) => (MountPoint === undefined || MountPoint === "" ? [] : [MountPoint]));
}

/** "disk4" of "disk4s2" */
function wholeOf(partition: string): string {
  return /^disk\d+/.exec(partition)?.[0] ?? partition;
}

function read<Schema extends z.ZodType>(schema: Schema, text: string): z.infer<Schema> {
  const result = schema.safeParse(parseListing("diskutil", text));
  if (result.success) return result.data;
  throw new DiskListError("diskutil gave a list of disks that cannot be read", { cause: result.error });
}
