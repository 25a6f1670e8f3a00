/**
 * What Linux says of cards on a bus of their own (/sys/block/mmcblkN): whether one is soldered in, which lsblk does not
 * tell. Called by listing.ts. I/O: reads the folder alone.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export type MmcCard = Readonly<{ isBuiltIn: boolean; name: string }>;

/** By the device's path, like "/dev/mmcblk0". None where the folder is not there. */
export async function readMmcCards(folder = "/sys/block"): Promise<Map<string, MmcCard>> {
  const names = (await orNone(readdir(folder))) ?? [];
  const cards = names
    .filter((name) => /^mmcblk\d+$/.test(name))
    .map(async (name) => {
      const read = (file: string) => orNone(readFile(join(folder, name, "device", file), "utf8"));
      const [type, model] = await Promise.all([read("type"), read("name")]);
      // An eMMC says "MMC", a card in a slot "SD" (Linux, drivers/mmc/core/bus.c).
      return [`/dev/${name}`, { isBuiltIn: type?.trim() === "MMC", name: model ?? "" }] as const;
    });
  return new Map(await Promise.all(cards));
}

/** A card may be pulled out while it is looked at; then it is in no list either. */
async function orNone<Value>(reading: Promise<Value>): Promise<Value | undefined> {
  return reading.catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENODEV") return undefined;
    throw error;
  });
}
