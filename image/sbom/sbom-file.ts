/**
 * The bill of materials as a file beside an image: IMAGE.cdx.json, the name by which scanners know CycloneDX.
 * Called by `./homing build`.
 */
import { open, rename, rm, writeFile } from "node:fs/promises";
import { explainNoRoom } from "../no-room.ts";
import { OutputFileError } from "../output-file.ts";

/** Every bill of materials of ours has this near its start. */
const MARK = '"bomFormat": "CycloneDX"';
const MARK_WITHIN_BYTES = 256;

/** Path of the bill of materials of the image at `image`. */
export function sbomPath(image: string): string {
  return `${image}.cdx.json`;
}

/** Throws OutputFileError when something else than a bill of materials is at the place: it would be lost. */
export async function checkSbomFile(image: string): Promise<void> {
  const path = sbomPath(image);
  try {
    await using file = await open(path, "r");
    const start = Buffer.alloc(MARK_WITHIN_BYTES);
    const { bytesRead } = (await file.stat()).isFile() ? await file.read(start) : { bytesRead: 0 };
    if (start.toString("latin1", 0, bytesRead).includes(MARK)) return;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    // Windows opens no folder.
    if (!(error instanceof Error && "code" in error && error.code === "EISDIR")) throw error;
  }
  throw new OutputFileError(
    `${path} exists and is no bill of materials of an image, so it is not replaced; move it, or give another --out`,
  );
}

/** Writes it, whole or not at all; returns its path. Throws NoRoomError and what the file system reports. */
export async function writeSbomFile(image: string, sbom: Uint8Array): Promise<string> {
  const path = sbomPath(image);
  const aside = `${path}.part`;
  try {
    await writeFile(aside, sbom);
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw await explainNoRoom(error, path, sbom.length, "Make room, or give another place with --out.");
  }
  return path;
}
