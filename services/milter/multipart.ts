/**
 * Takes a multipart body apart as it streams by (RFC 2046 §5.1): finds the boundaries, reads each part's
 * header, hands each line of a part to whoever reads that part. Holds one line and one part header. What could
 * be read in two ways is an error: a line that only begins like the boundary, a boundary after the last one,
 * a part header with anything but fields, a control character outside the parts. Called by judge.ts.
 */
import type { Line } from "./armor.ts";
import { trimSpace } from "./header-field.ts";

/** RFC 5322 §2.1.1: a line has at most 998 octets without CRLF. */
const MAX_LINE_BYTES = 998;
/** Readable in each part's header (type, encoding, a file name): real ones have up to about 250 bytes. */
const MAX_PART_HEADER_BYTES = 1000;
/** Readable before and after the parts together: "This is an OpenPGP/MIME encrypted message", in any language. */
const MAX_OUTSIDE_BYTES = 500;

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
  let fields: Field[] = [];
  let headerBytes = 0;
  let outsideBytes = 0;
  const held = Buffer.alloc(MAX_LINE_BYTES + 1);
  let heldBytes = 0;

  const openNext = (): string | null => {
    const header = fields;
    const values = (name: string): string[] =>
      header.filter((field) => field.name === name).map((field) => trimSpace(field.value));
    const opened = openPart(parts++, { values });
    if (typeof opened === "string") return opened;
    reader = opened;
    state = "body";
    return null;
  };

  /**
   * RFC 2046 §5.1.1: delimiter := "--" boundary, close-delimiter := delimiter "--". White space may follow, but
   * readers are known that see no delimiter then.
   */
  const delimiterKind = (line: Line): "none" | "next" | "close" | "ambiguous" => {
    const { buffer, start, end } = line;
    if (end - start < delimiter.length || buffer[start] !== 0x2d || buffer[start + 1] !== 0x2d) return "none";
    const text = buffer.toString("latin1", start, end);
    if (!text.startsWith(delimiter)) return "none";
    const rest = text.slice(delimiter.length);
    if (rest === "") return "next";
    return rest === "--" ? "close" : "ambiguous";
  };

  const takeDelimiter = (isClose: boolean): string | null => {
    if (state === "header") return "a part that ends inside its header";
    const problem = reader?.end() ?? null;
    if (problem !== null) return problem;
    reader = null;
    fields = [];
    headerBytes = 0;
    state = isClose ? "epilogue" : "header";
    return null;
  };

  const takeLine = (line: Line): string | null => {
    const kind = delimiterKind(line);
    if (kind === "ambiguous") return "a line that begins like the boundary";
    if (kind !== "none") {
      if (state === "epilogue") return "a boundary after the last one";
      if (kind === "close" && state === "preamble") return "a multipart without parts";
      return takeDelimiter(kind === "close");
    }
    if (state === "body") return reader!.line(line);
    const length = line.end - line.start;
    if (state === "header") {
      if (length === 0) return openNext();
      headerBytes += length;
      if (headerBytes > MAX_PART_HEADER_BYTES) return "a part header that is too long";
      return addHeaderLine(fields, line.buffer.toString("latin1", line.start, line.end));
    }
    outsideBytes += length;
    if (outsideBytes > MAX_OUTSIDE_BYTES) return "too much text outside the parts";
    return hasControl(line) ? "a control character outside the parts" : null;
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

/** `name` in lower case, `value` as it came, unfolded. */
type Field = { readonly name: string; value: string };

/**
 * Takes a line of a part header, printable ASCII as RFC 5322 §2.2 has it. A line that is neither a field nor
 * its continuation is where some readers let the body begin, and of two fields of one name each takes another.
 */
function addHeaderLine(fields: Field[], line: string): string | null {
  if (!/^[\t\x20-\x7e]+$/.test(line)) return "a part header that is not printable ASCII";
  const last = fields.at(-1);
  if (last !== undefined && /^[ \t]+[^ \t]/.test(line)) {
    last.value += line;
    return null;
  }
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
  if (!/^[!-9;-~]+$/.test(name)) return "a line that is no field in a part header";
  if (fields.some((field) => field.name === name)) return "a field that stands twice in a part header";
  fields.push({ name, value: line.slice(colon + 1) });
  return null;
}

/** NUL, a bare carriage return and their kin end a line or a text in some readers. */
function hasControl({ buffer, start, end }: Line): boolean {
  for (let at = start; at < end; at++) {
    const octet = buffer[at]!;
    if ((octet < 0x20 && octet !== 0x09) || octet === 0x7f) return true;
  }
  return false;
}
