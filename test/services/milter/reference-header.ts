/**
 * How mailparser reads a From or Content-Type field, in the product's normal forms: what the product takes
 * must be what another program sees. Independent of the product. Used by the property tests and the fuzzer.
 */
import { domainToASCII } from "node:url";
import { simpleParser } from "mailparser";

/** The one address of a From field's value (a binary string), lower case; null when mailparser sees none or more. */
export async function mailparserFrom(value: string): Promise<string | null> {
  const parsed = await simpleParser(fieldMessage("From", value));
  const list = parsed.from?.value ?? [];
  const address = list[0]?.address;
  if (list.length !== 1 || list[0]!.group !== undefined || !address) return null;
  const domain = address.slice(address.lastIndexOf("@") + 1);
  const ascii = /^[\x20-\x7e]*$/.test(domain) ? domain : domainToASCII(domain);
  return (address.slice(0, address.length - domain.length) + ascii).toLowerCase();
}

const fill = String.raw`(?:[ \t]|\r?\n[ \t]|\((?:[^()<>[\]:;@\\,"\p{Cc}]|\t|\r?\n[ \t])*\))*`;
/** Followed by no further character of its kind, so that an atom is read in one way only. */
const atom = String.raw`[^\s()<>[\]:;@\\,."\p{Cc}]+(?![^\s()<>[\]:;@\\,."\p{Cc}])`;
const quoted = String.raw`"(?:[^"\\\r\n\0]|\\[^\r\n\0]|\r?\n[ \t])*"`;
const address = String.raw`((?:${quoted}|(?:${atom}|\.)+)@(?:\[[0-9A-Za-z.:-]*\]|${atom}(?:\.${atom})*))`;
const bareFrom = new RegExp(`^${fill}${address}${fill}$`, "u");
const namedFrom = new RegExp(
  `^${fill}(?:(?:${quoted}|${atom}|\\.)${fill})*<${fill}${address}${fill}>${fill}$`,
  "u",
);

/**
 * The one address of a From field's value (a binary string) that all readers see, lower case; null otherwise. RFC 5322
 * §3.4 as one expression, without what is obsolete in it, and mailparser has to agree.
 */
export async function plainFrom(value: string): Promise<string | null> {
  const text = Buffer.from(value, "latin1").toString("utf8");
  const [, found] = bareFrom.exec(text) ?? namedFrom.exec(text) ?? [];
  if (text.length > 4096 || found === undefined || found.includes("\ufffd") || found.includes("=?"))
    return null;
  // Of local parts in quotes only words with single spaces between are read alike.
  if (found.startsWith('"')) {
    const words = found.slice(1, found.lastIndexOf('"')).split(" ");
    if (
      words.length < 2 ||
      words.some((word) => !new RegExp(`^${atom}$`, "u").test(word.replaceAll(".", "x")))
    )
      return null;
  }
  const domain = found.slice(found.lastIndexOf("@") + 1);
  const ascii = asciiDomain(domain);
  const isHost =
    /^[\w.\x80-\uffff-]+$/.test(domain) &&
    ascii.length <= 253 &&
    ascii.split(".").every((label) => /^[a-z0-9_][a-z0-9_-]{0,62}$/.test(label));
  const whole = found.slice(0, found.length - domain.length) + ascii;
  if (whole.length > 320 || !(isHost || domain.startsWith("["))) return null;
  return whole.toLowerCase() === (await mailparserFrom(value)) ? lowerAscii(whole) : null;
}

export function asciiDomain(domain: string): string {
  const lower = domain.toLowerCase();
  return /^[\x20-\x7e]*$/.test(lower) ? lower : domainToASCII(lower) || lower;
}

/** Only ASCII: the Kelvin sign is no "k". */
export function lowerAscii(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** "type/subtype", and the boundary after a space when there is one. */
export async function mailparserContentType(value: string): Promise<string | null> {
  const parsed = await simpleParser(fieldMessage("Content-Type", value), { skipTextToHtml: true });
  const type = parsed.headers.get("content-type") as
    | { value: string; params: { boundary?: string } }
    | undefined;
  if (type === undefined) return null;
  const { boundary } = type.params;
  return `${type.value.toLowerCase()}${boundary === undefined ? "" : ` ${boundary}`}`;
}

function fieldMessage(name: string, value: string): Buffer {
  return Buffer.from(`${name}: ${value.replace(/\r?\n/g, "\r\n")}\r\n\r\n`, "latin1");
}
