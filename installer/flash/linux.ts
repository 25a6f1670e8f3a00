/** The disks of a Linux computer as lsblk(8) of util-linux lists them. Pure; called by listing.ts. */
import { z } from "zod";
import { asBoolean, asNumber, type Disk, DiskListError, modelText, parseListing } from "./disk.ts";

/** MOUNTPOINT and not MOUNTPOINTS, which came with util-linux 2.37: one of them is enough to know. */
export const lsblkArguments = [
  ...["--json", "--bytes", "--output"],
  "PATH,TYPE,SIZE,MODEL,VENDOR,TRAN,RM,HOTPLUG,RO,MOUNTPOINT",
];

type Node = z.infer<typeof Fields> & Readonly<{ children?: readonly Node[] | undefined }>;

const Fields = z.object({
  path: z.string(),
  type: z.string(),
  size: z.unknown(),
  model: z.unknown(),
  vendor: z.unknown(),
  tran: z.unknown(),
  rm: z.unknown(),
  hotplug: z.unknown(),
  ro: z.unknown(),
  mountpoint: z.string().nullish(),
});
const Block: z.ZodType<Node> = Fields.extend({
  get children() {
    return z.array(Block).optional();
  },
});
const Listing = z.object({ blockdevices: z.array(Block) });

/** Where desktops and people mount what they plug in; whatever is mounted elsewhere belongs to the system. */
const FOREIGN_MOUNTS = /^\/(?:media|mnt|run\/media)(?:\/|$)/;
/** "[SWAP]", too, means that the system uses it. */
const isForeign = (mount: string): boolean => FOREIGN_MOUNTS.test(mount);

/** All whole disks, loop devices that somebody attached too. Throws DiskListError. */
export function parseLsblk(text: string): Disk[] {
  const listing = Listing.safeParse(parseListing("lsblk", text));
  if (!listing.success) {
    throw new DiskListError("lsblk gave a list of disks that cannot be read", { cause: listing.error });
  }
  return listing.data.blockdevices
    .filter(({ type, path }) => (type === "disk" || type === "loop") && !isBootArea(path))
    .map((disk) => {
      const mounts = [...mountsOf(disk)];
      return {
        device: disk.path,
        model: disk.type === "loop" ? "loop device" : modelText(disk.vendor, disk.model),
        bytes: asNumber(disk.size),
        // What a loop device shows is a file that its owner attached for a purpose.
        removable:
          asBoolean(disk.rm) || asBoolean(disk.hotplug) || disk.tran === "usb" || disk.type === "loop",
        readOnly: asBoolean(disk.ro),
        system: mounts.some((mount) => !isForeign(mount)),
        mounts: mounts.filter(isForeign),
      };
    });
}

/** An eMMC shows its hidden areas as disks of their own (Linux, mmc-dev-parts). */
function isBootArea(path: string): boolean {
  return /mmcblk\d+(?:boot\d+|rpmb|gp\d+)$/.test(path);
}

/** Of the disk, its partitions, and what is made of these (LVM, encryption). */
function* mountsOf({ mountpoint, children = [] }: Node): Generator<string> {
  if (typeof mountpoint === "string" && mountpoint !== "") yield mountpoint;
  for (const child of children) yield* mountsOf(child);
}
