/**
 * The judgement once more: slow, on the whole message at once, and independent of the product. mailparser says
 * what the MIME structure is and openpgp what the packets are; what those readers are more lenient about than
 * a filter may be stands here as plain rules. Used by the property tests and the fuzzer.
 */
import { simpleParser } from "mailparser";
import { readArmoredPackets } from "./reference-openpgp.ts";
import { compose, type WholeMessage } from "./whole-message.ts";

export type ReferenceVerdict = "encrypted" | "secure-join request" | "unencrypted";

const token = "[!#$%&'*+.0-9A-Z^_`a-z{|}~-]+";
const boundaryCharacters = /^[0-9A-Za-z'()+_,\-./:=? ]*[^ ]$/;

export async function referenceVerdict(
  message: WholeMessage,
  allowArmorVersion: boolean,
): Promise<ReferenceVerdict> {
  if (message.fields.some(([name, value]) => isAmbiguousField(name, value))) return "unencrypted";
  if (isFlood(message.fields)) return "unencrypted";
  const top = plainFields(message.fields);
  const contentType = top("content-type");
  if (contentType.length !== 1 || !isPlainContentType(contentType[0]!)) return "unencrypted";
  if (top("content-transfer-encoding").length > 1 || !top("content-transfer-encoding").every(isPlainEncoding))
    return "unencrypted";
  const parsed = await simpleParser(compose(message), { skipTextToHtml: true });
  const type = parsed.headers.get("content-type") as { value: string; params: { boundary?: string } };
  const { boundary } = type.params;
  const kind = type.value.toLowerCase();
  if (boundary === undefined || boundary.length > 70) return "unencrypted";
  if (!boundaryCharacters.test(boundary) || boundary.includes("=?")) return "unencrypted";
  const parts = divide(message.body.toString("latin1"), boundary);
  if (parts === null) return "unencrypted";
  const shown = parsed.attachments;

  if (kind === "multipart/encrypted") {
    if (parts.length !== 2 || shown.length !== 2 || parsed.text !== undefined || parsed.html !== false)
      return "unencrypted";
    const [version, data] = parts as [Part, Part];
    const isVersion =
      isOfType(version, "application/pgp-encrypted") &&
      typeOf(shown[0]!.headers) === "application/pgp-encrypted" &&
      isShort(version, /^Version: 1$/) &&
      trim(shown[0]!.content.toString("latin1")) === "Version: 1";
    const isData =
      isOfType(data, "application/octet-stream") &&
      typeOf(shown[1]!.headers) === "application/octet-stream" &&
      data.values("content-transfer-encoding").every(isPlainEncoding);
    if (!isVersion || !isData) return "unencrypted";
    return (await readArmoredPackets(data.body, allowArmorVersion)) ? "encrypted" : "unencrypted";
  }

  const request = top("secure-join");
  if (request.length !== 1 || (request[0] !== "vc-request" && request[0] !== "vg-request")) {
    return "unencrypted";
  }
  if (!kind.startsWith("multipart/") || parts.length !== 1 || shown.length > 1) return "unencrypted";
  const [part] = parts as [Part];
  if (part.values("content-type").length > 0 && !isOfType(part, "text/plain")) return "unencrypted";
  // To mailparser the part is text, or an attachment when it says that it is one.
  const text = shown.length === 1 ? shown[0]!.content.toString("latin1") : (parsed.text ?? "");
  const pattern = /^secure-join: v[cg]-request$/i;
  const isReadAsRequest = pattern.test(trim(text)) || part.isForeignCharset;
  return isShort(part, pattern) && isReadAsRequest ? "secure-join request" : "unencrypted";
}

function typeOf(headers: ReadonlyMap<string, unknown>): string | undefined {
  return (headers.get("content-type") as { value: string } | undefined)?.value.toLowerCase();
}

/** A NUL, a bare CR, an empty line or one that continues nothing would make two headers of one. */
function isAmbiguousField(name: string, value: string): boolean {
  const lines = value
    .split("\n")
    .map((line, index, all) => (index < all.length - 1 ? line.replace(/\r$/, "") : line));
  return (
    !/^[\x21-\x39\x3b-\x7e]+[ \t]*$/.test(name) ||
    /[\0\r]/.test(lines.join("")) ||
    lines.slice(1).some((line) => !/^[ \t]/.test(line) || trim(line) === "")
  );
}

/** More than 1000 fields, 10 000 lines or 256 KiB. */
export function isFlood(fields: WholeMessage["fields"]): boolean {
  const lines = fields.flatMap(([name, value]) => `${name}:${value}`.split("\n"));
  const bytes = fields.reduce((sum, [name, value]) => sum + name.length + value.length + 3, 0);
  return fields.length > 1000 || lines.length > 10_000 || bytes > 256 * 1024;
}

export function plainFields(fields: WholeMessage["fields"]): (name: string) => string[] {
  return (wanted) =>
    fields.filter(([name]) => trim(name).toLowerCase() === wanted).map(([, value]) => trim(value));
}

/** type/subtype and parameters, with nothing that readers disagree about. */
function isPlainContentType(value: string): boolean {
  if (value.length > 4096) return false;
  if (value.split(/boundary[\s*\d]*=/i).length > 2) return false;
  const [type, ...parameters] = value.split(";").map(trim);
  if (!new RegExp(`^${token}/${token}$`).test(type!)) return false;
  if (parameters.at(-1) === "") parameters.pop();
  const names = parameters.map((text) => text.split("=")[0]!.toLowerCase());
  const one = new RegExp(`^${token}=(?:${token}|"[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*")$`);
  if (names.some((name) => name.startsWith("boundary*"))) return false;
  return new Set(names).size === names.length && parameters.every((text) => one.test(text));
}

function isPlainEncoding(value: string): boolean {
  return ["7bit", "8bit", "binary"].includes(value.toLowerCase());
}

type Part = Readonly<{ values(name: string): string[]; body: readonly string[]; isForeignCharset: boolean }>;

/** The parts by the delimiter lines, or null where the structure is not plain. */
export function divide(text: string, boundary: string): Part[] | null {
  const lines = text
    .split("\n")
    .map((line, index, all) => (index < all.length - 1 ? line.replace(/\r$/, "") : line));
  if (lines.some((line) => line.length > 998 || line.includes("\r"))) return null;
  const places = lines.flatMap((line, index) => (line.startsWith(`--${boundary}`) ? [index] : []));
  if (places.length < 2) return null;
  const kinds = places.map((place) => lines[place]!.slice(boundary.length + 2));
  if (kinds.pop() !== "--" || kinds.some((kind) => kind !== "")) return null;
  const outside = [...lines.slice(0, places[0]), ...lines.slice(places.at(-1)! + 1)].join("");
  if (outside.length > 500 || /[^\t\P{Cc}\x80-\x9f]/u.test(outside)) return null;
  const parts = kinds.map((_, index) => onePart(lines.slice(places[index]! + 1, places[index + 1])));
  return parts.every((part) => part !== null) ? parts : null;
}

function onePart(lines: readonly string[]): Part | null {
  const blank = lines.indexOf("");
  if (blank < 0) return null;
  const header = lines.slice(0, blank);
  if (header.join("").length > 1000 || !header.every((line) => /^[\t\x20-\x7e]*$/.test(line))) return null;
  const fields: [string, string][] = [];
  for (const line of header) {
    const found = /^([\x21-\x39\x3b-\x7e]+):(.*)$/.exec(line);
    if (found !== null) fields.push([found[1]!.toLowerCase(), found[2]!]);
    else if (/^[ \t]/.test(line) && trim(line) !== "" && fields.length > 0) fields.at(-1)![1] += line;
    else return null;
  }
  if (new Set(fields.map(([name]) => name)).size !== fields.length) return null;
  const values = plainFields(fields);
  const isForeignCharset = /charset/i.test(values("content-type").join());
  return { values, body: lines.slice(blank + 1), isForeignCharset };
}

function isOfType(part: Part, type: string): boolean {
  return plainType(part.values("content-type")) === type;
}

/** The type that a single Content-Type names so that all readers agree, lower case; null otherwise. */
export function plainType([value, ...others]: readonly string[]): string | null {
  if (value === undefined || others.length > 0 || !isPlainContentType(value)) return null;
  return trim(value.split(";")[0]!).toLowerCase();
}

/** One line that matches, white space around it, 200 bytes with the line ends at most. */
function isShort(part: Part, pattern: RegExp): boolean {
  const encodings = part.values("content-transfer-encoding");
  if (!encodings.every((value) => isPlainEncoding(value) || value.toLowerCase() === "quoted-printable"))
    return false;
  return part.body.join("\n").length + 1 <= 200 && pattern.test(trim(part.body.join("\n")));
}

function trim(text: string): string {
  return text.replace(/^[ \t\r\n]+/, "").replace(/[ \t\r\n]+$/, "");
}
