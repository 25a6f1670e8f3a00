/**
 * A disk that an image could be written to, as the listings of each system tell (linux.ts, macos.ts, windows.ts), and
 * the reasons not to. Pure. Called by listing.ts, write.ts' callers and the wizard.
 */

/** What the system says of a whole disk, whether or not it may be written to. */
export type Disk = Readonly<{
  /** What is opened and what people type: "/dev/sdb", "/dev/disk4", "\\.\PhysicalDrive2". */
  device: string;
  /** Maker and model, as the disk calls itself; "unknown disk" when it does not. */
  model: string;
  bytes: number;
  /** A card, a stick, a disk in a reader: what is made to be pulled out. */
  removable: boolean;
  readOnly: boolean;
  /** The running system is on it, or its swap. */
  system: boolean;
  /** Where its file systems are mounted, besides the system's own. */
  mounts: readonly string[];
}>;

/** A card sold as 2 GB holds somewhat less than 2 × 10⁹ bytes; the relay needs room for mail beside its system. */
const LEAST_BYTES = 1_900_000_000;

/** Why no image of `imageBytes` may be written to the disk, with the mend where there is one; undefined when it may. */
export function whyNot(disk: Disk, imageBytes: number): string | undefined {
  if (disk.system) return "this computer runs from it";
  if (!disk.removable)
    return "it is built in: only cards, sticks and disks that can be pulled out are written to";
  if (disk.readOnly) return "it is write-protected: look for the little slider of the card or its adapter";
  if (disk.bytes === 0) return "there is no card in the reader";
  if (disk.mounts.length > 0) return `it is in use at ${disk.mounts.join(", ")}: ${unmountHelp(disk)}`;
  if (disk.bytes < Math.max(LEAST_BYTES, imageBytes)) {
    return `it is too small: ${sizeText(disk.bytes)}, and a relay needs 2 GB or more`;
  }
  return undefined;
}

function unmountHelp({ device }: Disk): string {
  if (device.startsWith("/dev/disk")) return `diskutil unmountDisk ${device}`;
  if (device.startsWith("\\")) return "close what shows its files, and remove its drive letter";
  return `unmount it first, for example by: sudo umount ${device}*`;
}

/** "SanDisk Ultra, 31.9 GB (/dev/sdb)" */
export function diskText({ device, model, bytes }: Disk): string {
  return `${model}, ${sizeText(bytes)} (${device})`;
}

function sizeText(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** The name in one line: some disks pad theirs with spaces, and what comes from outside is no text for a terminal. */
export function modelText(...parts: readonly unknown[]): string {
  const text = parts
    .filter((part): part is string => typeof part === "string")
    .join(" ")
    .replace(/[\p{C}\s]+/gu, " ")
    .trim();
  return text === "" ? "unknown disk" : text;
}

/** A listing that cannot be read; the message says whose. */
export class DiskListError extends Error {
  override name = "DiskListError";
}

/** What a system's program printed, which its manual says is JSON. Throws DiskListError. */
export function parseListing(program: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new DiskListError(`${program} gave a list of disks that cannot be read`, { cause: error });
  }
}

/** Numbers and booleans come as such or as text ("0", "1"), by the program's version. */
export function asNumber(value: unknown): number {
  const number = typeof value === "string" || typeof value === "number" ? Number(value) : 0;
  return Number.isFinite(number) ? number : 0;
}

export function asBoolean(value: unknown): boolean {
  return value === true || value === 1 || value === "1";
}
