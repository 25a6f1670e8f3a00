/**
 * Takes a multipart body apart as it streams by (RFC 2046 §5.1): finds the boundaries, reads each part's
 * header, hands each line of a part to whoever reads that part. Holds one line and one part header. What could
 * be read in two ways (a line that only begins like the boundary) is an error. Called by judge.ts.
 */
import type { Line } from "./armor.ts";

/** RFC 5322 §2.1.1: a line has at most 998 octets without CRLF. */
const MAX_LINE_BYTES = 998;
/** Part headers of encrypted mail have a few short lines. */
const MAX_PART_HEADER_BYTES = 8192;
/** Text outside the parts, which readers never show: "This is an OpenPGP/MIME encrypted message". */
const MAX_OUTSIDE_BYTES = 1000;

export type PartFields = Readonly<{
  /** The values of all fields of this name (lower case), unfolded and trimmed. */
  values(name: string): string[];
}>;

export type PartReader = Readonly<{
  /** Takes a line of the part's body (valid during the call only); returns what is wrong, or null. */
  line(line: Line): string | null;
  /** At the part's end: what is wrong, or null. */
  end(): string | null;
}>;

export type MultipartReader = Readonly<{
  /** Takes the next piece of the body; returns what is wrong, or null. After an error it must not be called again. */
  write(piece: Buffer): string | null;
  end(): string | null;
}>;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/**
 * @param boundary the top level's boundary parameter
 * @param openPart called with the part's number (from 0) and header; gives its reader, or what is wrong with it
 */
export function createMultipartReader(
  boundary: string,
  openPart: (index: number, fields: PartFields) => PartReader | string,
): MultipartReader {
  const delimiter = `--${boundary}`;
  let state: "preamble" | "header" | "body" | "epilogue" = "preamble";
  let parts = 0;
  let reader: PartReader | null = null;
  let headerLines: string[] = [];
  let headerBytes = 0;
  let outsideBytes = 0;
  const held = Buffer.alloc(MAX_LINE_BYTES + 1);
  let heldBytes = 0;

  const openNext = (): string | null => {
    const opened = openPart(parts++, partFields(headerLines));
    if (typeof opened === "string") return opened;
    reader = opened;
    state = "body";
    return null;
  };

  /** RFC 2046 §5.1.1: delimiter := "--" boundary, close-delimiter := delimiter "--", white space may follow. */
  const delimiterKind = (line: Line): "none" | "next" | "close" | "ambiguous" => {
    const { buffer, start, end } = line;
    if (end - start < delimiter.length || buffer[start] !== 0x2d || buffer[start + 1] !== 0x2d) return "none";
    const text = buffer.toString("latin1", start, end);
    if (!text.startsWith(delimiter)) return "none";
    const rest = text.slice(delimiter.length).replace(/^--(?=[ \t]*$)/, "close");
    if (/^[ \t]*$/.test(rest)) return "next";
    return /^close[ \t]*$/.test(rest) ? "close" : "ambiguous";
  };

  const takeDelimiter = (isClose: boolean): string | null => {
    if (state === "header") return "a part that ends inside its header";
    const problem = reader?.end() ?? null;
    if (problem !== null) return problem;
    reader = null;
    headerLines = [];
    headerBytes = 0;
    state = isClose ? "epilogue" : "header";
    return null;
  };

  const takeLine = (line: Line): string | null => {
    if (state !== "epilogue") {
      const kind = delimiterKind(line);
      if (kind === "ambiguous") return "a line that begins like the boundary";
      if (kind === "close" && state === "preamble") return "a multipart without parts";
      if (kind !== "none") return takeDelimiter(kind === "close");
    }
    if (state === "body") return reader!.line(line);
    const length = line.end - line.start;
    if (state === "header") {
      if (length === 0) return openNext();
      headerBytes += length;
      if (headerBytes > MAX_PART_HEADER_BYTES) return "a part header that is too long";
      headerLines.push(line.buffer.toString("latin1", line.start, line.end));
      return null;
    }
    outsideBytes += length;
    return outsideBytes > MAX_OUTSIDE_BYTES ? "too much text outside the parts" : null;
  };

  return {
    write(piece) {
      for (let start = 0; start < piece.length; ) {
        const found = piece.indexOf(lineFeed, start);
        const end = found < 0 ? piece.length : found;
        // One more than a line may have: its carriage return.
        if (heldBytes + end - start > MAX_LINE_BYTES + 1) return "a line longer than 998 bytes";
        if (found < 0 || heldBytes > 0) {
          piece.copy(held, heldBytes, start, end);
          heldBytes += end - start;
        }
        if (found < 0) return null;
        const problem =
          heldBytes > 0
            ? takeLine(withoutCarriageReturn(held, 0, heldBytes))
            : takeLine(withoutCarriageReturn(piece, start, end));
        if (problem !== null) return problem;
        heldBytes = 0;
        start = found + 1;
      }
      return null;
    },
    end() {
      if (heldBytes > 0) {
        const problem = takeLine({ buffer: held, start: 0, end: heldBytes });
        if (problem !== null) return problem;
      }
      return state === "epilogue" ? null : "a multipart without closing boundary";
    },
  };
}

function withoutCarriageReturn(buffer: Buffer, start: number, end: number): Line {
  return { buffer, start, end: end > start && buffer[end - 1] === carriageReturn ? end - 1 : end };
}

function partFields(lines: readonly string[]): PartFields {
  const unfolded: string[] = [];
  for (const line of lines) {
    if (/^[ \t]/.test(line) && unfolded.length > 0) unfolded[unfolded.length - 1] += line;
    else unfolded.push(line);
  }
  return {
    values: (name) =>
      unfolded
        .map((line) => ({
          name: line
            .split(":", 1)[0]!
            .replace(/[ \t]+$/, "")
            .toLowerCase(),
          colon: line.indexOf(":"),
        }))
        .flatMap((field, index) =>
          field.name === name && field.colon >= 0 ? [unfolded[index]!.slice(field.colon + 1).trim()] : [],
        ),
  };
}
