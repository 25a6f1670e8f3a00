/**
 * A file of the cache while it is being downloaded: "NAME.PID-RANDOM.part" beside its final place. Each build writes
 * to a file of its own, so that several may fetch the same package at once; what an ended build left is copied and
 * continued. Called by image/packages/download-file.ts; image/packages/cache-contents.ts removes what nobody continues.
 */
import { createHash, type Hash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, readdir, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { makeFolder } from "../make-folder.ts";
import { renameWhenFree } from "../rename.ts";
import { isRunning } from "./process.ts";

export type PartFile = AsyncDisposable &
  Readonly<{
    /** How much is there. */
    bytes: () => number;
    append: (piece: Uint8Array) => Promise<void>;
    /** Throws away what is there. */
    restart: () => Promise<void>;
    /**
     * Gives the file its final name if it has this SHA-256 (hexadecimal), else throws away what is there: it was
     * wrong, or lost because another build took it for abandoned. Then it can be written anew.
     */
    finish: (sha256: string) => Promise<"done" | "wrong" | "lost">;
  }>;

/** A part that nobody wrote to for this long is abandoned even if its process seems to run; in milliseconds. */
const ABANDONED_MILLISECONDS = 600_000;

const partPattern = /^(?<name>.+)\.(?<pid>\d+)-[0-9a-f]{8}\.part$/;
/** Those of this process: its id says nothing about them. */
const own = new Set<string>();

/** A name beside `path` that nobody else uses. */
export function asideName(path: string): string {
  return `${path}.${process.pid}-${randomBytes(4).toString("hex")}.part`;
}

export type PartOnDisk = Readonly<{
  path: string;
  /** Its final name. */
  target: string;
  processId: number;
  /** Nobody writes to it any more. */
  abandoned: boolean;
}>;

/** What is being written to, or was: the files in `folder` by the final name they shall have. */
export async function partsIn(folder: string): Promise<PartOnDisk[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const parts: PartOnDisk[] = [];
  for (const file of names) {
    const { name, pid } = partPattern.exec(file)?.groups ?? {};
    if (name === undefined) continue;
    const path = join(folder, file);
    const processId = Number(pid);
    const abandoned = await isAbandoned(path, processId);
    parts.push({ path, target: join(folder, name), processId, abandoned });
  }
  return parts;
}

async function isAbandoned(path: string, pid: number): Promise<boolean> {
  if (own.has(path)) return false;
  if (pid === process.pid || !isRunning(pid)) return true;
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() })); // gone: finished just now
  return Date.now() - mtimeMs > ABANDONED_MILLISECONDS;
}

/**
 * A part of `target`, which will have `size` bytes; begins with what an ended build left, if it left something.
 * What is there when it is closed unfinished stays for the next build. Throws the system's errors.
 */
export async function openPart(target: string, size: number): Promise<PartFile> {
  await makeFolder(dirname(target));
  const path = asideName(target);
  own.add(path);
  let file: FileHandle | undefined;
  let hash: Hash = createHash("sha256");
  let bytes = 0;
  let finished = false;
  /** A write failed: the disk is full, or worse. */
  let broken = false;

  async function append(piece: Uint8Array): Promise<void> {
    broken = true;
    file ??= await open(path, "wx");
    // A short write is told by its count alone.
    for (let done = 0; done < piece.length; ) {
      done += (await file.write(piece, done, piece.length - done, bytes + done)).bytesWritten;
    }
    broken = false;
    hash.update(piece);
    bytes += piece.length;
  }

  async function restart(): Promise<void> {
    await file?.truncate(0);
    hash = createHash("sha256");
    bytes = 0;
  }

  async function close(): Promise<void> {
    await file?.close();
    file = undefined;
    if (!finished && (broken || bytes === 0)) await rm(path, { force: true });
    own.delete(path);
  }

  try {
    // There at once, so that another build sees it and fetches something else first.
    file = await open(path, "wx");
    await continueAbandoned(target, size, append, restart);
  } catch (error) {
    await restart();
    await close();
    throw error;
  }
  return {
    bytes: () => bytes,
    append,
    restart,
    async finish(sha256) {
      if (hash.copy().digest("hex") !== sha256) {
        await restart();
        return "wrong";
      }
      await file?.close(); // Windows renames no open file
      file = undefined;
      try {
        await renameWhenFree(path, target);
      } catch (error) {
        if (!hasCode(error, "ENOENT")) throw error;
        await restart();
        return "lost";
      }
      finished = true;
      return "done";
    },
    [Symbol.asyncDispose]: close,
  };
}

/**
 * Copies the longest of the abandoned parts and removes them all. Copies, because nobody can be sure that a process
 * in another container has ended: what it may still write goes into a file that has no name any more.
 */
async function continueAbandoned(
  target: string,
  size: number,
  append: (piece: Uint8Array) => Promise<void>,
  restart: () => Promise<void>,
): Promise<void> {
  const parts: { path: string; bytes: number }[] = [];
  for (const { path, target: name, abandoned } of await partsIn(dirname(target))) {
    if (!abandoned || basename(name) !== basename(target)) continue;
    parts.push({ path, bytes: (await stat(path).catch(() => undefined))?.size ?? 0 });
  }
  const longest = parts
    .filter(({ bytes }) => bytes > 0 && bytes <= size)
    .reduce<(typeof parts)[0] | undefined>(
      (best, one) => (best && best.bytes >= one.bytes ? best : one),
      undefined,
    );
  if (longest) {
    try {
      for await (const piece of createReadStream(longest.path, { end: size - 1 }))
        await append(piece as Buffer);
    } catch (error) {
      // Another build was faster, or it is another user's.
      if (!hasCode(error, "ENOENT", "EACCES", "EPERM")) throw error;
      await restart();
    }
  }
  for (const { path } of parts) {
    await rm(path, { force: true }).catch((error: unknown) => {
      if (!hasCode(error, "EACCES", "EPERM", "EBUSY")) throw error;
    });
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
