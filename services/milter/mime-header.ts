/**
 * Reads Content-Type values (RFC 2045 §5.1): the type and its parameters. What different programs could read
 * differently is no valid value here: a parameter twice, comments, quoted pairs, semicolons inside quotes
 * (many readers split there), RFC 2231 pieces of a boundary, a second place that looks like a boundary.
 */

export type ContentType = Readonly<{
  /** "type/subtype", lower case. */
  type: string;
  /** By lower-case name, unquoted. */
  parameters: ReadonlyMap<string, string>;
}>;

/** Longer values are refused unread. */
const MAX_LENGTH = 4096;
/** RFC 2046 §5.1.1. */
const MAX_BOUNDARY_LENGTH = 70;

const token = String.raw`[^\s()<>@,;:\\"/[\]?=\x00-\x1f\x7f-\uffff]+`;
const typePattern = new RegExp(`(${token})/(${token})`, "y");
const parameterPattern = new RegExp(String.raw`(${token})=(?:(${token})|"([\x20-\x7e]*?)")`, "y");
const fillPattern = /[ \t\r\n]*/y;
/** What readers that only search the text take for the boundary's place, RFC 2231's ways to write it included. */
const boundaryPlace = /boundary[ \t\r\n*0-9]*=/gi;

/** The parsed value, or null when it is not valid. */
export function parseContentType(value: string): ContentType | null {
  if (value.length > MAX_LENGTH || (value.match(boundaryPlace)?.length ?? 0) > 1) return null;
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(value);
    if (found !== null) at += found[0].length;
    return found;
  };
  take(fillPattern);
  const type = take(typePattern);
  if (type === null) return null;
  const parameters = new Map<string, string>();
  for (;;) {
    take(fillPattern);
    if (at === value.length) break;
    if (value[at++] !== ";") return null;
    take(fillPattern);
    // Some programs end the value with a semicolon.
    if (at === value.length) break;
    const parameter = take(parameterPattern);
    if (parameter === null) return null;
    const name = parameter[1]!.toLowerCase();
    const text = parameter[2] ?? parameter[3]!;
    if (parameters.has(name) || name.startsWith("boundary*") || /[\\;]/.test(text)) return null;
    parameters.set(name, text);
  }
  return { type: `${type[1]}/${type[2]}`.toLowerCase(), parameters };
}

/** The boundary of a multipart type, or null when it has no usable one. */
export function boundaryOf(contentType: ContentType): string | null {
  const boundary = contentType.parameters.get("boundary");
  if (boundary === undefined || boundary.length > MAX_BOUNDARY_LENGTH) return null;
  // Some readers decode what looks like an encoded word (RFC 2047) wherever it stands.
  if (boundary.includes("=?")) return null;
  return /^[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]$/.test(boundary) ? boundary : null;
}

/** Whether the body stands as it is (RFC 2045 §6): encodings that change it hide it from us. */
export function isPlainEncoding(transferEncodings: readonly string[]): boolean {
  if (transferEncodings.length === 0) return true;
  return transferEncodings.length === 1 && /^(?:7bit|8bit|binary)$/i.test(transferEncodings[0]!);
}
