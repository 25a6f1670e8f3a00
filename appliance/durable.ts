/**
 * Writing that survives a power cut, for the device and for the builder's computer. A file's name is on the medium
 * only once its directory was synced too (fsync(2)). Used by life/disk.ts, services/dkim and the installer.
 */
import { constants } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";
import { dirname } from "node:path";

export type FileAttributes = Readonly<{ mode: number; uid?: number; gid?: number }>;

/**
 * Makes or replaces the file as a whole or not at all; when it resolves, content and name are on the medium. One
 * writer at a time: it writes to `<path>.new` first. Errors are those of the system calls.
 */
export async function replaceDurably(
  path: string,
  content: string | Uint8Array,
  attributes: FileAttributes,
): Promise<void> {
  const temporary = `${path}.new`;
  // Without O_EXCL: a file left over by a power cut is simply written again. But root writes through no link that lies in
  // a folder of others (/data/tls is that of homing-certs); Windows knows no such flag.
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | (constants.O_NOFOLLOW ?? 0);
  const file = await open(temporary, flags, attributes.mode);
  try {
    await setAttributes(file, attributes);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncDirectory(dirname(path));
}

/**
 * Makes a file that must not exist yet; its content is on the medium when it resolves, its name only after
 * `syncDirectory`. Fails with EEXIST when there is one.
 */
export async function createSynced(path: string, content: Uint8Array, mode: number): Promise<void> {
  const file = await open(path, "wx", mode);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes the names in a directory outlive a power cut. Windows cannot open directories and needs no such call. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Owner first, mode after it: chown clears bits. Sets the mode whatever the process's umask is. */
export async function setAttributes(handle: FileHandle, { mode, uid, gid }: FileAttributes): Promise<void> {
  // FAT knows neither owners nor modes: only what is asked for is set.
  if (uid !== undefined && gid !== undefined) await handle.chown(uid, gid);
  await handle.chmod(mode);
}
