/** A card that has been a relay is not written over by mistake. Called by commands/flash.ts and by the wizard. Reads the disk. */
import { isImage, readHead, wasBooted } from "../../image/output-file.ts";
import { FlashError } from "./write.ts";

/** Throws FlashError when the disk has been a relay. One that cannot be read yet is looked at when it is written. */
export async function keepRelay(device: string): Promise<void> {
  const head = await readHead(device).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EACCES" || error.code === "EPERM") return undefined;
    throw error;
  });
  if (head !== undefined && isImage(head) && wasBooted(head)) {
    throw new FlashError(
      `${device} holds a relay that has been running: its accounts and mail would be lost. ` +
        "Take another card, or say --replace to give them up.",
    );
  }
}
