/**
 * The operator's page files in a relay folder, checked before they go into an image: what the device would refuse, or
 * pass over in silence, is told here. Called by relay-folder.ts and by `./homing web`. Reads the folder only.
 */
import type { Dirent } from "node:fs";
import { lstat, readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import {
  allowedWebFiles,
  isLeftBehind,
  isWebFilePath,
  tooMuchWeb,
  unusableWebPath,
  webFolderName,
} from "../appliance/web-files.ts";

/** The page files cannot be used; the message names the file and what is allowed. */
export class WebFolderError extends Error {
  override name = "WebFolderError";
}

/** Content by path in the relay folder ("web/de/home.md"); empty without such a folder. Throws WebFolderError. */
export async function readOperatorPages(relayFolder: string): Promise<Map<string, Uint8Array>> {
  const folder = join(relayFolder, webFolderName);
  const entries = await list(folder);
  const sizes = new Map<string, number>();
  for (const entry of entries) {
    const onDisk = join(entry.parentPath, entry.name);
    const path = relative(folder, onDisk).split(sep).join("/");
    if (path.split("/").some(isLeftBehind)) continue;
    if (entry.isSymbolicLink())
      throw new WebFolderError(`${onDisk} is a symbolic link: put the file itself there`);
    if (entry.isDirectory()) continue;
    const unusable = unusableWebPath(path);
    if (unusable !== undefined)
      throw new WebFolderError(`${onDisk} cannot be part of the pages: ${unusable}`);
    if (!entry.isFile() || !isWebFilePath(path)) {
      throw new WebFolderError(`${onDisk} cannot be part of the pages; allowed are ${allowedWebFiles}`);
    }
    sizes.set(path, (await lstat(onDisk)).size);
  }
  const tooMuch = tooMuchWeb(sizes);
  if (tooMuch !== undefined) throw new WebFolderError(`${folder} ${tooMuch}`);
  const files = new Map<string, Uint8Array>();
  for (const path of [...sizes.keys()].sort()) {
    files.set(`${webFolderName}/${path}`, await readFile(join(folder, path)));
  }
  return files;
}

async function list(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { recursive: true, withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
