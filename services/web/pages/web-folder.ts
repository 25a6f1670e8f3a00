/**
 * Reads the files that pages are made of into memory: the defaults, and over them, path by path, the operator's.
 * Called by services/web/service.ts at its start and by `./homing web preview` at every change.
 */
import type { Dirent } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isWebFilePath } from "../../../appliance/web-files.ts";

/** Content by path within the folder, "de/home.md". */
export type WebFiles = ReadonlyMap<string, Buffer>;

/**
 * The files of all folders, those of later ones over those of earlier ones; an empty one takes away what was there. A
 * folder may be missing.
 */
export async function readWebFolders(folders: readonly string[]): Promise<WebFiles> {
  const files = new Map<string, Buffer>();
  for (const folder of folders) {
    for (const path of await webFilePaths(folder)) {
      const content = await readFile(join(folder, path));
      if (content.length > 0) files.set(path, content);
      else files.delete(path);
    }
  }
  return files;
}

/** The files in a folder that may be part of pages; symbolic links and what else lies there are passed over. */
async function webFilePaths(folder: string): Promise<string[]> {
  const entries = await list(folder);
  const inner = entries
    .filter((entry) => entry.isDirectory())
    .map(async ({ name }) =>
      (await list(join(folder, name))).filter(isFile).map((entry) => `${name}/${entry.name}`),
    );
  const paths = [...entries.filter(isFile).map((entry) => entry.name), ...(await Promise.all(inner)).flat()];
  return paths.filter(isWebFilePath).sort();
}

const isFile = (entry: Dirent): boolean => entry.isFile();

async function list(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
