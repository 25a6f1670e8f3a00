/**
 * Looks at a disk once more directly before it is written to. Called by commands/flash.ts and the wizard: while a person
 * thought about it, another disk may have got its name, or it may have been mounted.
 */
import { type Disk, diskText, whyNot } from "./disk.ts";
import { listDisks } from "./listing.ts";
import { FlashError } from "./write.ts";

/** Throws FlashError when the disk is not there as `label` (diskText) says, or may not be written to any more. */
export async function stillThere(
  device: string,
  label: string,
  imageBytes: number,
  signal: AbortSignal,
  list: (signal: AbortSignal) => Promise<Disk[]> = listDisks,
): Promise<void> {
  const now = (await list(signal)).find((disk) => disk.device === device);
  if (now === undefined || diskText(now) !== label) {
    throw new FlashError(`${label} is not there any more as it was, so nothing was written; look again`);
  }
  const refused = whyNot(now, imageBytes);
  if (refused !== undefined) throw new FlashError(`${label} is not written to: ${refused}`);
}
