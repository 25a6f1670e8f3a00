/**
 * Files that lie beside an image and say what is in it: IMAGE.cdx.json, the bill of materials, by the name by which
 * scanners know CycloneDX, and IMAGE.lock.json, the list of packages of a build with --refresh, by which the image can be
 * judged later. Called by `./homing build`.
 */
import { open, rm, writeFile } from "node:fs/promises";
import { explainNoRoom } from "./no-room.ts";
import { OutputFileError } from "./output-file.ts";
import { writeAside } from "./written-aside.ts";

export type Companion = Readonly<{
  /** Follows the image's name. */
  suffix: string;
  /** Every such file of ours has this near its start. */
  mark: string;
  /** For error texts. */
  what: string;
}>;

export const billOfMaterials: Companion = {
  suffix: ".cdx.json",
  mark: '"bomFormat": "CycloneDX"',
  what: "bill of materials of an image",
};

/** image/packages/lock.ts writes it. */
export const packageList: Companion = {
  suffix: ".lock.json",
  mark: '"generated": ',
  what: "list of an image's packages",
};

const MARK_WITHIN_BYTES = 256;

/** Path of such a file of the image at `image`. */
export function companionPath(image: string, { suffix }: Companion): string {
  return `${image}${suffix}`;
}

/** Throws OutputFileError when something else is at the place: it would be lost. */
export async function checkCompanion(image: string, companion: Companion): Promise<void> {
  const path = companionPath(image, companion);
  if ((await whatIsAt(path, companion)) !== "another") return;
  throw new OutputFileError(
    `${path} exists and is no ${companion.what}, so it is not replaced; move it, or give another --out`,
  );
}

/**
 * Removes what an image that is about to be replaced has beside it, for it tells nothing of the new one; what is not ours
 * stays.
 */
export async function removeCompanions(image: string, companions: readonly Companion[]): Promise<void> {
  for (const companion of companions) {
    const path = companionPath(image, companion);
    const there = await whatIsAt(path, companion).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "EACCES" || error.code === "EPERM") return "another"; // ours can be read by all
      throw error;
    });
    if (there === "ours") await rm(path, { force: true });
  }
}

async function whatIsAt(path: string, { mark }: Companion): Promise<"nothing" | "ours" | "another"> {
  try {
    await using file = await open(path, "r");
    const start = Buffer.alloc(MARK_WITHIN_BYTES);
    const { bytesRead } = (await file.stat()).isFile() ? await file.read(start) : { bytesRead: 0 };
    return start.toString("latin1", 0, bytesRead).includes(mark) ? "ours" : "another";
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "nothing";
    // Windows opens no folder.
    if (error instanceof Error && "code" in error && error.code === "EISDIR") return "another";
    throw error;
  }
}

/** Writes it, whole or not at all; returns its path. Throws NoRoomError and what the file system reports. */
export async function writeCompanion(
  image: string,
  companion: Companion,
  content: Uint8Array | string,
): Promise<string> {
  const path = companionPath(image, companion);
  await writeAside(
    path,
    async (newName) => {
      const written = newName();
      await writeFile(written, content, { flag: "wx", flush: true });
      return { written, result: undefined };
    },
    (error) => explainNoRoom(error, path, content.length, "Make room, or give another place with --out."),
  );
  return path;
}
