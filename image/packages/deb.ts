/**
 * Reads binary Debian packages as deb(5) describes them: an ar archive of "debian-binary", a control.tar and
 * a data.tar, each plain or compressed by gzip, xz or zstd. Called by image/rootfs/assemble.ts for every
 * package of the lock file. Maintainer scripts are read as bytes, never run.
 */
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip, zstdDecompress } from "node:zlib";
import { type ArMember, readAr } from "../formats/ar.ts";
import { readTar, type TarEntry } from "../formats/tar.ts";
import { decompressXz } from "../formats/xz.ts";
import { parseStanzas, type Stanza } from "./deb822.ts";

/** No member of a package unpacks to more than this; a bound against hostile compression, in bytes. */
const MAX_MEMBER_BYTES = 1 << 30;

export type DebianPackage = Readonly<{
  /** The fields of the control file, names in lower case (deb-control(5)). */
  control: Stanza;
  /** Every member of control.tar by its name: "control", "postinst", "conffiles", "triggers", … */
  controlFiles: ReadonlyMap<string, Uint8Array>;
  /** Paths of the configuration files, relative to the root without a leading slash (deb-conffiles(5)). */
  conffiles: readonly string[];
  /** What the package puts into the file system, in its own order. */
  entries: readonly TarEntry[];
}>;

/** The bytes are not a binary Debian package. */
export class DebError extends Error {
  override name = "DebError";
}

/**
 * Reads the .deb file at `path`. Throws DebError naming the file when it is not sound, and the signal's reason when
 * that is aborted.
 */
export async function loadPackage(path: string, signal?: AbortSignal): Promise<DebianPackage> {
  const bytes = await readFile(path);
  try {
    // Small files may share their buffer with others.
    return await readDeb(bytes, signal, { give: bytes.buffer.byteLength === bytes.length });
  } catch (error) {
    signal?.throwIfAborted();
    const problem = error instanceof Error ? error.message : String(error);
    throw new DebError(`${path} is not a sound Debian package: ${problem}`, { cause: error });
  }
}

/**
 * Reads a .deb file from memory; with `give` the buffer behind `bytes` may be empty afterwards, and the largest packages
 * take half the memory. Throws DebError, ArError, TarError, XzError or an error of node:zlib.
 */
export async function readDeb(
  bytes: Uint8Array,
  signal?: AbortSignal,
  { give = false } = {},
): Promise<DebianPackage> {
  // deb(5): the order is fixed; members whose names begin with "_" are for local use and left out.
  const members = readAr(bytes).filter(({ name }) => !name.startsWith("_"));
  const [version, controlMember, dataMember] = members;
  if (version?.name !== "debian-binary") throw new DebError("the first member is not debian-binary");
  const format = Buffer.from(version.content).toString("latin1").split("\n")[0]!;
  if (!/^2\.\d+$/.test(format)) throw new DebError(`the format version "${format}" is unknown`);
  if (!controlMember?.name.startsWith("control.tar")) throw new DebError("control.tar is missing");
  if (!dataMember?.name.startsWith("data.tar")) throw new DebError("data.tar is missing");
  const controlTar = await unpack(controlMember, signal, { give: false });
  const dataTar = await unpack(dataMember, signal, { give });
  const controlFiles = new Map<string, Uint8Array>();
  for (const { path, type, content } of readTar(controlTar)) {
    if (type === "file") controlFiles.set(path, content);
  }
  const text = (name: string) => new TextDecoder().decode(controlFiles.get(name) ?? new Uint8Array());
  const [control, ...more] = parseStanzas(text("control"));
  if (!control || more.length > 0) throw new DebError("the control file is missing or has several stanzas");
  return { control, controlFiles, conffiles: readConffiles(text("conffiles")), entries: readTar(dataTar) };
}

/** deb-conffiles(5): a path a line, which may have flags before it; "remove-on-upgrade" ones are not shipped. */
function readConffiles(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith("/"))
    .map((line) => line.slice(1));
}

async function unpack(
  { name, content }: ArMember,
  signal: AbortSignal | undefined,
  { give }: { give: boolean },
): Promise<Uint8Array> {
  const limit = { maxOutputLength: MAX_MEMBER_BYTES };
  switch (name.slice(name.indexOf(".tar") + 4)) {
    case "":
      return content;
    case ".gz":
      return promisify(gunzip)(content, limit);
    case ".xz":
      return decompressXz(content, signal, { give });
    case ".zst":
      return promisify(zstdDecompress)(content, limit);
    default:
      throw new DebError(`the compression of ${name} is not supported`);
  }
}
