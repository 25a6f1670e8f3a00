/**
 * Reads `ar` archives, the outer envelope of a .deb file, as described in deb(5): an eight-byte magic, then
 * members, each with a 60-byte text header. Called by image/packages/deb.ts. Names are limited to 16 bytes
 * there, so the extensions for longer names of System V and BSD are not needed and are refused.
 */

const MAGIC = "!<arch>\n";
const HEADER_BYTES = 60;

export type ArMember = Readonly<{ name: string; content: Uint8Array }>;

/** The bytes are not an archive as deb(5) describes it. */
export class ArError extends Error {
  override name = "ArError";
}

/**
 * The members in their order; the contents are views of `bytes`, not copies.
 *
 * | offset | length | field                    |
 * |-------:|-------:|--------------------------|
 * |      0 |     16 | name, blanks after it    |
 * |     16 |     12 | time                     |
 * |     28 |     12 | owner and group          |
 * |     40 |      8 | mode, octal              |
 * |     48 |     10 | size in bytes, decimal   |
 * |     58 |      2 | "`\n"                    |
 *
 * Throws ArError when the archive is malformed or cut off.
 */
export function readAr(bytes: Uint8Array): ArMember[] {
  const text = (from: number, to: number) => Buffer.from(bytes.subarray(from, to)).toString("latin1");
  if (text(0, MAGIC.length) !== MAGIC) throw new ArError("not an ar archive: the magic is missing");
  const members: ArMember[] = [];
  let offset = MAGIC.length;
  while (offset < bytes.length) {
    if (offset + HEADER_BYTES > bytes.length) {
      throw new ArError(`the archive is cut off in the header at byte ${offset}`);
    }
    const name = text(offset, offset + 16)
      .trimEnd()
      .replace(/\/$/, "");
    const sizeText = text(offset + 48, offset + 58).trimEnd();
    if (text(offset + 58, offset + 60) !== "`\n" || !/^\d+$/.test(sizeText) || name === "") {
      throw new ArError(`the member header at byte ${offset} is malformed`);
    }
    const start = offset + HEADER_BYTES;
    const end = start + Number(sizeText);
    if (end > bytes.length) {
      throw new ArError(`the archive is cut off: member ${name} wants ${sizeText} bytes`);
    }
    members.push({ name, content: bytes.subarray(start, end) });
    offset = end + (end % 2); // members start at even offsets
  }
  return members;
}
