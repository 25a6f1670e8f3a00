/**
 * File names on FAT: the short 8.3 name every entry has, and the long name kept in entries before it.
 * Called by image/formats/fat32.ts; pure. Source: Microsoft "FAT32 File System Specification" 1.03
 * (fatgen103), sections "FAT Directory Structure" and "FAT Long Directory Entries".
 */

/** A name that cannot stand on FAT, or two names of one directory that are the same to it. */
export class FatNameError extends Error {
  override name = "FatNameError";
}

/** UTF-16 units of a long name (fatgen103). */
const LONG_NAME_MAX = 255;
const FORBIDDEN_IN_LONG_NAMES = /["*/:<>?\\|\p{Cc}]/u;
/** What a short name may hold; anything else becomes "_". */
const NOT_IN_SHORT_NAMES = /[^A-Z0-9!#$%&'()@^_`{}~-]/g;
const BASE_LENGTH = 8;
const EXTENSION_LENGTH = 3;

/** Throws FatNameError naming `path` when `name` is no long name FAT can hold. */
export function checkLongName(name: string, path: string): void {
  if (
    name === "" ||
    name.length > LONG_NAME_MAX ||
    FORBIDDEN_IN_LONG_NAMES.test(name) ||
    /[. ]$/.test(name) ||
    !name.isWellFormed()
  ) {
    throw new FatNameError(
      `${path}: "${name}" cannot be a name on FAT: 1 to 255 characters, none of " * / : < > ? \\ |, ` +
        "no dot or space at the end",
    );
  }
}

export type ShortName = Readonly<{
  /** Eleven bytes: base and extension, padded with spaces. */
  bytes: Buffer;
  /** False when the short name says it all, so that no long name is needed. */
  needsLongName: boolean;
}>;

/** The short names of a directory so far. */
export type TakenNames = Readonly<{
  /** As eleven characters. */
  names: Set<string>;
  /** The last numeric tail by what the short name begins and ends with: all before it are taken. */
  tails: Map<string, number>;
}>;

/**
 * The short name for `name`, different from all in `taken`, with a numeric tail ("LOADER~1CON") where something was
 * lost: the lowest that is free. Adds it to `taken`. The same names in the same order give the same short names.
 */
export function shortNameFor(name: string, taken: TakenNames): ShortName {
  const upper = name.toUpperCase();
  // The last dot begins the extension, unless nothing stands before it (".profile").
  const trimmed = upper.replace(/^\.+/, "").replaceAll(" ", "");
  const dot = trimmed.lastIndexOf(".");
  const rawBase = (dot > 0 ? trimmed.slice(0, dot) : trimmed).replaceAll(".", "");
  const rawExtension = dot > 0 ? trimmed.slice(dot + 1) : "";
  const base = rawBase.replace(NOT_IN_SHORT_NAMES, "_");
  const extension = rawExtension.replace(NOT_IN_SHORT_NAMES, "_");
  const rejoined = extension === "" ? base : `${base}.${extension}`;
  const fits = base.length <= BASE_LENGTH && extension.length <= EXTENSION_LENGTH;

  const padded = (tail: string) =>
    (base.slice(0, BASE_LENGTH - tail.length) + tail).padEnd(BASE_LENGTH) +
    extension.slice(0, EXTENSION_LENGTH).padEnd(EXTENSION_LENGTH);
  const isExact = fits && rejoined === upper;
  let short = padded("");
  if (!isExact || taken.names.has(short)) {
    // Only so much of the base stays beside a tail, however short the tail is.
    const stem = `${base.slice(0, BASE_LENGTH - 2)}.${extension.slice(0, EXTENSION_LENGTH)}`;
    let tail = taken.tails.get(stem) ?? 0;
    do short = padded(`~${++tail}`);
    while (taken.names.has(short));
    taken.tails.set(stem, tail);
  }
  taken.names.add(short);
  return { bytes: Buffer.from(short, "ascii"), needsLongName: rejoined !== name || short !== padded("") };
}

/** Characters of the long name in one directory entry, and where its three groups of them begin. */
const UNITS_PER_ENTRY = 13;
const UNIT_OFFSETS = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30] as const;
const ENTRY_SIZE = 32;
const ATTRIBUTE_LONG_NAME = 0x0f;
const LAST_LONG_ENTRY = 0x40;

/** The entries that carry `name`, last part first, to stand right before the short entry. */
export function longNameEntries(name: string, shortName: Uint8Array): Buffer {
  let checksum = 0;
  for (const byte of shortName) checksum = (((checksum & 1) << 7) + (checksum >> 1) + byte) & 0xff;

  const count = Math.ceil(name.length / UNITS_PER_ENTRY);
  const entries = Buffer.alloc(count * ENTRY_SIZE);
  for (let ordinal = count; ordinal >= 1; ordinal--) {
    const entry = entries.subarray((count - ordinal) * ENTRY_SIZE);
    entry[0] = ordinal === count ? ordinal | LAST_LONG_ENTRY : ordinal; // LDIR_Ord
    entry[11] = ATTRIBUTE_LONG_NAME; // LDIR_Attr
    entry[13] = checksum; // LDIR_Chksum
    UNIT_OFFSETS.forEach((offset, index) => {
      const at = (ordinal - 1) * UNITS_PER_ENTRY + index;
      // One NUL ends a name that leaves room, then all ones.
      entry.writeUInt16LE(at < name.length ? name.charCodeAt(at) : at === name.length ? 0 : 0xffff, offset);
    });
  }
  return entries;
}
