/**
 * Reads ASCII armor of a PGP MESSAGE line by line (RFC 9580 §6.2) and passes the decoded bytes on. Stricter
 * than readers of mail need to be: first line BEGIN, blank line, base64 with padding, an optional checksum,
 * END, nothing but empty lines after it. Holds one decoded line. Called by judge.ts for the second part.
 */

const beginLine = "-----BEGIN PGP MESSAGE-----";
const endLine = "-----END PGP MESSAGE-----";
const versionPrefix = "Version: ";
/** "Version: GnuPG v2", "Version: OpenPGP.js v4.10.10": a program's name and number. */
const MAX_VERSION_LINE_BYTES = 100;

/** A line as a piece of a buffer, without its line end. */
export type Line = Readonly<{ buffer: Buffer; start: number; end: number }>;

export type ArmorReader = Readonly<{
  /** Takes the next line; returns why this is no armored message, or null. */
  line(line: Line): string | null;
  end(): string | null;
}>;

export type ArmorOptions = Readonly<{
  /** A Version: line tells about the sender's software; we tolerate one, from others only. */
  allowVersion: boolean;
  /** Takes decoded bytes (valid during the call only); returns why they are unacceptable, or null. */
  onBytes(bytes: Uint8Array): string | null;
}>;

/** Value of each base64 character (RFC 4648 §4), 255 for all others. */
const base64Values = new Uint8Array(256).fill(255);
for (const [value, character] of [
  ..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
].entries()) {
  base64Values[character.charCodeAt(0)] = value;
}
const padding = "=".charCodeAt(0);
const dash = "-".charCodeAt(0);

export function createArmorReader({ allowVersion, onBytes }: ArmorOptions): ArmorReader {
  let hasVersion = false;
  let state: "begin" | "headers" | "blank" | "data" | "checksum" | "after" = "begin";
  /** Bits of an unfinished group of four characters, and how many characters they are of. */
  let bits = 0;
  let characters = 0;
  let isPadded = false;
  let decoded = new Uint8Array(128);

  /** Decodes one line of base64 and passes it on. */
  const data = ({ buffer, start, end }: Line): string | null => {
    const most = Math.ceil(((end - start + 3) * 3) / 4);
    if (decoded.length < most) decoded = new Uint8Array(most);
    let length = 0;
    let at = start;
    // Whole groups at once while nothing is special: nearly all of a message.
    for (; characters === 0 && !isPadded && at + 4 <= end; at += 4) {
      const first = base64Values[buffer[at]!]!;
      const second = base64Values[buffer[at + 1]!]!;
      const third = base64Values[buffer[at + 2]!]!;
      const fourth = base64Values[buffer[at + 3]!]!;
      if ((first | second | third | fourth) > 63) break;
      decoded[length] = (first << 2) | (second >> 4);
      decoded[length + 1] = ((second & 15) << 4) | (third >> 2);
      decoded[length + 2] = ((third & 3) << 6) | fourth;
      length += 3;
    }
    for (; at < end; at++) {
      const octet = buffer[at]!;
      const value = base64Values[octet]!;
      if (value === 255) {
        // RFC 4648 §3.5: padding fills a group of 2 or 3 characters, whose unused bits are zero.
        if (octet !== padding || characters < 2) return "a character that is not base64";
        if (!isPadded) {
          const unusedBits = characters === 2 ? 4 : 2;
          if ((bits & ((1 << unusedBits) - 1)) !== 0) return "base64 with unused bits set";
          decoded[length++] = (bits >> (characters === 2 ? 4 : 10)) & 255;
          if (characters === 3) decoded[length++] = (bits >> 2) & 255;
        }
        isPadded = true;
        characters = (characters + 1) % 4;
        continue;
      }
      if (isPadded) return "base64 inside its padding";
      bits = (bits << 6) | value;
      if (++characters === 4) {
        decoded[length] = (bits >> 16) & 255;
        decoded[length + 1] = (bits >> 8) & 255;
        decoded[length + 2] = bits & 255;
        length += 3;
        characters = 0;
        bits = 0;
      }
    }
    return length === 0 ? null : onBytes(decoded.subarray(0, length));
  };

  return {
    line(line) {
      const { buffer, start, end } = line;
      const isEmpty = start === end;
      switch (state) {
        case "begin":
          if (!lineEquals(line, beginLine)) return "the second part does not begin with PGP armor";
          state = "headers";
          return null;
        case "headers":
          if (isEmpty) {
            state = "blank";
            return null;
          }
          if (!allowVersion || hasVersion || !isVersion(line)) return "an armor header that is not allowed";
          hasVersion = true;
          return null;
        case "blank":
          if (isEmpty) return null;
          state = "data";
          break;
        case "data":
          break;
        case "checksum":
          break;
        case "after":
          return isEmpty ? null : "data after the PGP armor";
      }
      if (buffer[start] === dash && !isEmpty) {
        if (!lineEquals(line, endLine)) return "a broken PGP armor line";
        if (characters !== 0) return "incomplete base64";
        state = "after";
        return null;
      }
      if (state === "checksum" || isEmpty) return "an unexpected line in PGP armor";
      if (isChecksum(line)) {
        if (characters !== 0) return "incomplete base64";
        // RFC 9580 §6.1: a checksum's value decides nothing.
        state = "checksum";
        return null;
      }
      return data(line);
    },
    end: () => (state === "after" ? null : "the PGP armor is incomplete"),
  };
}

/** "=" and four base64 characters (RFC 9580 §6.1). */
function isChecksum({ buffer, start, end }: Line): boolean {
  if (end - start !== 5 || buffer[start] !== padding) return false;
  for (let at = start + 1; at < end; at++) if (base64Values[buffer[at]!] === 255) return false;
  return true;
}

function isVersion(line: Line): boolean {
  const { buffer, start, end } = line;
  if (end - start > MAX_VERSION_LINE_BYTES || !lineStartsWith(line, versionPrefix)) return false;
  return /^[\x20-\x7e]+$/.test(buffer.toString("latin1", start, end));
}

function lineStartsWith({ buffer, start, end }: Line, text: string): boolean {
  return end - start >= text.length && buffer.toString("latin1", start, start + text.length) === text;
}

function lineEquals(line: Line, text: string): boolean {
  return line.end - line.start === text.length && lineStartsWith(line, text);
}
