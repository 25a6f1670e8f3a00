/** The disks of a Linux computer as lsblk(8) of util-linux lists them. Pure; called by listing.ts. */
import { z } from "zod";
import { asBoolean, asNumber, type Disk, DiskListError, modelText, parseListing } from "./disk.ts";
import type { MmcCard } from "./mmc.ts";

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

/**
 * All whole disks, loop devices that somebody attached too. `cards`: what the kernel says of those that lsblk calls by
 * the same path (mmc.ts). Throws DiskListError.
 */
export function parseLsblk(text: string, cards: ReadonlyMap<string, MmcCard> = new Map()): Disk[] {
  const listing = Listing.safeParse(parseListing("lsblk", text));
  if (!listing.success) {
    throw new DiskListError("lsblk gave a list of disks that cannot be read", { cause: listing.error });
  }
  const paths = new Set(listing.data.blockdevices.map(({ path }) => path));
  // lsblk calls an eMMC pluggable, as every card. Only an eMMC has boot areas.
  const isBuiltIn = (path: string) => cards.get(path)?.isBuiltIn === true || paths.has(`${path}boot0`);
  return listing.data.blockdevices
    .filter(({ type, path }) => (type === "disk" || type === "loop") && !isBootArea(path))
    .map((disk) => {
      const mounts = [...mountsOf(disk)];
      return {
        device: disk.path,
        model:
          disk.type === "loop"
            ? "loop device"
            : modelText(disk.vendor, disk.model ?? cards.get(disk.path)?.name),
        bytes: asNumber(disk.size),
        // What a loop device shows is a file that its owner attached for a purpose.
        removable:
          !isBuiltIn(disk.path) &&
          (asBoolean(disk.rm) || asBoolean(disk.hotplug) || disk.tran === "usb" || disk.type === "loop"),
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
