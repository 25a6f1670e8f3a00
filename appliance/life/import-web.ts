/**
 * The operator's page files on their way from the boot partition to the data partition. A folder `web` replaces the
 * whole of the one before; where there is none, that one stays, as keys do. Called by import-relay.ts, and at every boot
 * by configure.ts, for services/web's copy.
 */
import { lstat, readdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { dataPaths, runPaths } from "../layout.ts";
import { isWebFilePath, tooMuchWeb, unusableWebPath, webFolderName } from "../web-files.ts";
import type { Disk } from "./disk.ts";
import { ImportError } from "./import-error.ts";

type Device = Readonly<{ at(path: string): string; say(text: string): void; disk: Disk }>;

export type WebImport = Readonly<{
  /** All that is taken over, folders as well, relative to the relay folder. */
  paths: readonly string[];
  /** Of the files passed over, the first that its author takes for a part of the pages, and why it cannot be. */
  unusable: string | undefined;
  copyTo(folder: string, disk: Disk, modes: Readonly<{ directory: number; file: number }>): Promise<void>;
  /** Removes what an earlier import brought and this one does not have. */
  wipeOthers(folder: string, disk: Disk): Promise<void>;
}>;

/** Files that can be no part of pages are not among them. Throws ImportError; undefined when there is no folder. */
export async function readWebFolder(folder: string): Promise<WebImport | undefined> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    },
  );
  if (entries === undefined) return undefined;
  const link = entries.find((entry) => entry.isSymbolicLink());
  if (link)
    throw new ImportError(`relay/${webFolderName} holds the symbolic link ${link.name}: put the file there`);
  const found = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relativeTo(folder, join(entry.parentPath, entry.name)))
    .sort();
  const paths = found.filter(isWebFilePath);
  const unusable = found.find((path) => unusableWebPath(path) !== undefined);
  const sizes = new Map<string, number>();
  for (const path of paths) sizes.set(path, (await lstat(join(folder, path))).size);
  const tooMuch = tooMuchWeb(sizes);
  if (tooMuch !== undefined) throw new ImportError(`relay/${webFolderName} on the boot partition ${tooMuch}`);
  const folders = [...new Set(paths.map(dirname))].filter((path) => path !== ".");
  return {
    unusable: unusable && `${unusable}: ${unusableWebPath(unusable)}`,
    paths: ["", ...folders, ...paths].map((path) => join(webFolderName, path)),
    copyTo: async (to, disk, { directory, file }) => {
      for (const path of ["", ...folders]) await disk.makeDirectory(join(to, path), { mode: directory });
      for (const path of paths) {
        await disk.put(join(to, path), await readFile(join(folder, path)), { mode: file });
      }
    },
    wipeOthers: async (to, disk) => {
      for (const entry of await readdir(to, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (entry.isFile() && !paths.includes(relativeTo(to, path))) await disk.wipe(path);
      }
    },
  };
}

/** Where services/web may read them: it sees nothing of the relay folder. What goes wrong with them stops no relay. */
export async function layOutWebPages({ at, disk, say }: Device): Promise<void> {
  const to = at(runPaths.web);
  await rm(to, { recursive: true, force: true });
  try {
    const web = await readWebFolder(at(`${dataPaths.relay}/${webFolderName}`));
    await web?.copyTo(to, disk, { directory: 0o755, file: 0o644 });
  } catch (error) {
    // Half of them could lead into nothing; those of the image are whole.
    await rm(to, { recursive: true, force: true });
    say(`going on with the pages of Homing, for the relay's own cannot be laid out: ${String(error)}`);
  }
}

function relativeTo(folder: string, path: string): string {
  return path.slice(folder.length + 1);
}
