/**
 * Reads Content-Type values (RFC 2045 §5.1): the type and its parameters. What different programs could read
 * differently (a parameter twice, broken quotes, RFC 2231 pieces of a boundary) is no valid value here.
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
const parameterPattern = new RegExp(String.raw`(${token})=(?:(${token})|"((?:[^"\\\r\n]|\\[^\r\n])*)")`, "y");
const fillPattern = /(?:[ \t\r\n]+|\((?:[^()\\]|\\.)*\))*/y;

/** The parsed value, or null when it is not valid. */
export function parseContentType(value: string): ContentType | null {
  if (value.length > MAX_LENGTH) return null;
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
    // RFC 2231 §3–4: `boundary*` and `boundary*0` are other ways to give the boundary; readers disagree which wins.
    if (parameters.has(name) || name.startsWith("boundary*")) return null;
    parameters.set(name, parameter[2] ?? parameter[3]!.replace(/\\(.)/g, "$1"));
  }
  return { type: `${type[1]}/${type[2]}`.toLowerCase(), parameters };
}

/** The boundary of a multipart type, or null when it has no usable one. */
export function boundaryOf(contentType: ContentType): string | null {
  const boundary = contentType.parameters.get("boundary");
  if (boundary === undefined || boundary.length > MAX_BOUNDARY_LENGTH) return null;
  return /^[\x20-\x7e]*[\x21-\x7e]$/.test(boundary) ? boundary : null;
}

/** Whether the body stands as it is (RFC 2045 §6): encodings that change it hide it from us. */
export function isPlainEncoding(transferEncodings: readonly string[]): boolean {
  return transferEncodings.length <= 1 && /^(?:7bit|8bit|binary)?$/i.test(transferEncodings[0] ?? "");
}
