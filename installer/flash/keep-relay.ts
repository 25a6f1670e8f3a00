/** A card that has been a relay is not written over by mistake. Called by commands/flash.ts and by the wizard. Reads the disk. */
import { isImage, readHead, wasBooted } from "../../image/output-file.ts";
import { FlashError } from "./write.ts";

/** Throws FlashError when the disk has been a relay. One that cannot be read yet is looked at when it is written. */
export async function keepRelay(device: string): Promise<void> {
  if (!(await holdsRelay(device))) return;
  throw new FlashError(
    `${device} holds a relay that has been running: its accounts and mail would be lost. ` +
      "Take another card, or say --replace to give them up.",
  );
}

/** Whether accounts and mail are on the disk. False for one that this user may not read; throws what the disk answers. */
export async function holdsRelay(device: string): Promise<boolean> {
  const head = await readHead(device).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EACCES" || error.code === "EPERM") return undefined;
    throw error;
  });
  return head !== undefined && isImage(head) && wasBooted(head);
}
