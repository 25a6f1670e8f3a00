/**
 * Addresses: the From field must hold exactly one (RFC 5322 §3.4, §3.6.2), and addresses are compared in one
 * normal form. Stricter than most parsers on purpose: what two programs could read differently is refused.
 * Called by the rules of both directions.
 */
import { isIPv4, isIPv6, SocketAddress } from "node:net";
import { domainToASCII } from "node:url";

export type Address = Readonly<{
  localPart: string;
  /** Lower case, other scripts as A-labels; an address literal keeps its brackets. */
  domain: string;
}>;

/** A From field longer than this is nobody's name and address (RFC 5322 knows no limit). */
const MAX_FROM_LENGTH = 4096;
/** Letters, digits and hyphens (RFC 1123 §2.1), and the underscore that test domains have; labels as in RFC 1035 §2.3.4. */
const domainPattern = /^(?=.{1,253}$)(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*$/;
/** RFC 5321 §4.5.3.1.3 says 254 with every part at its longest; some room for quotes. */
const MAX_ADDRESS_LENGTH = 320;

/** Lexical tokens of RFC 5322 §3.2 and §3.4.1, matched at one place (`y`). */
const lexis = {
  atom: /[^\s()<>[\]:;@\\,."\p{Cc}]+/uy,
  quoted: /"(?:[^"\\\r\n\0]|\\[^\r\n\0]|\r?\n[ \t])*"/uy,
  literal: /\[[0-9A-Za-z.:-]*\]/uy,
  space: /(?:[ \t]|\r?\n[ \t])+/uy,
  // Readers get lost in comments inside comments and in addresses inside comments.
  comment: /\((?:[^()<>[\]:;@\\,"\p{Cc}]|\t|\r?\n[ \t])*\)/uy,
} as const;

type Token = Readonly<{ kind: "atom" | "quoted" | "literal" | "special"; text: string; spaced: boolean }>;

/** The address of a From field's value (unfolded or not), or null when it is not exactly one. */
export function parseFrom(value: string): Address | null {
  if (value.length > MAX_FROM_LENGTH) return null;
  const tokens = tokenize(value);
  if (tokens === null) return null;
  const open = tokens.findIndex((token) => token.text === "<" && token.kind === "special");
  if (open < 0) return addressOf(tokens);
  if (tokens.at(-1)?.text !== ">" || tokens.at(-1)?.kind !== "special") return null;
  if (!tokens.slice(0, open).every(isPhraseToken)) return null;
  return addressOf(tokens.slice(open + 1, -1));
}

/** The envelope's address, with or without angle brackets; null for the null sender `<>`. */
export function parseEnvelope(argument: string): Address | null {
  const text = argument.startsWith("<") && argument.endsWith(">") ? argument.slice(1, -1) : argument;
  if (text === "") return null;
  const at = text.lastIndexOf("@");
  return at < 0
    ? { localPart: text, domain: "" }
    : { localPart: text.slice(0, at), domain: normalDomain(text.slice(at + 1)) };
}

export function formatAddress(address: Address | null): string {
  if (address === null) return "";
  return address.domain === "" ? address.localPart : `${address.localPart}@${address.domain}`;
}

/**
 * Case does not count anywhere in an address: accounts are made that way. Only ASCII is folded, for Unicode
 * would make the Kelvin sign a "k" and so let one account write as another.
 */
export function sameAddress(one: Address | null, other: Address | null): boolean {
  return lowerAscii(formatAddress(one)) === lowerAscii(formatAddress(other));
}

function lowerAscii(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Lower case, A-labels, no final dot; what cannot be converted stays as it is, so it equals nothing else. */
export function normalDomain(domain: string): string {
  const lower = domain.toLowerCase().replace(/\.$/, "");
  return /^[\x20-\x7e]*$/.test(lower) ? lower : domainToASCII(lower) || lower;
}

/** The IP address of a domain that is an address literal (RFC 5321 §4.1.3), in canonical text; else null. */
export function literalAddress(domain: string): string | null {
  const inner = /^\[(.+)\]$/.exec(domain)?.[1];
  return inner === undefined ? null : canonicalIp(inner.replace(/^ipv6:/i, ""));
}

/** One text for every way to write an IP address; null when it is none. */
export function canonicalIp(text: string): string | null {
  if (isIPv4(text)) return text;
  if (!isIPv6(text)) return null;
  const canonical = new SocketAddress({ family: "ipv6", address: text }).address;
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(canonical)?.[1] ?? canonical;
}

function isPhraseToken(token: Token): boolean {
  // The dot in a name like "John Q. Public" is obsolete syntax that everybody writes (RFC 5322 §4.1).
  return token.kind === "atom" || token.kind === "quoted" || token.text === ".";
}

/**
 * addr-spec (RFC 5322 §3.4.1) without white space inside. The local part is one quoted string, or atoms and dots;
 * dots may stand anywhere in it, as in account names.
 */
function addressOf(tokens: readonly Token[]): Address | null {
  if (tokens.slice(1).some((token) => token.spaced)) return null;
  const at = tokens.findIndex((token) => token.text === "@" && token.kind === "special");
  if (at < 1) return null;
  const local = tokens.slice(0, at);
  const domain = tokens.slice(at + 1);
  const isQuoted = local.length === 1 && local[0]?.kind === "quoted";
  if (!isQuoted && !local.every((token) => token.kind === "atom" || token.text === ".")) return null;
  if (isQuoted && !isQuotedWords(textOf(local))) return null;
  const isLiteral = domain.length === 1 && domain[0]?.kind === "literal";
  if (!isLiteral && !isDottedAtoms(domain)) return null;
  const address = { localPart: textOf(local), domain: normalDomain(textOf(domain)) };
  // Octets that are no UTF-8 came in as U+FFFD. Some readers decode what looks like an encoded word (RFC 2047 §5).
  if (/[\ufffd]|=\?/.test(textOf(tokens))) return null;
  if (!isLiteral && (!isDomainText(textOf(domain)) || !domainPattern.test(address.domain))) return null;
  return formatAddress(address).length > MAX_ADDRESS_LENGTH ? null : address;
}

/**
 * Whether a quoted local part is words with a space between. Of all others readers make something else: they take off
 * quotes that are not needed, backslashes and outer white space, or end the address at a bracket inside the quotes.
 * RFC 5321 §4.1.2 tells hosts to have no such mailboxes at all.
 */
function isQuotedWords(text: string): boolean {
  return /^"[^\s()<>[\]:;@\\,"\p{Cc}]+(?: [^\s()<>[\]:;@\\,"\p{Cc}]+)+"$/u.test(text);
}

/** The ASCII in a domain as it was written; the conversion to A-labels would decode "%2e" and the like. */
function isDomainText(text: string): boolean {
  return /^[a-zA-Z0-9._\x80-\uffff-]+$/.test(text);
}

function isDottedAtoms(tokens: readonly Token[]): boolean {
  return (
    tokens.length % 2 === 1 &&
    tokens.every((token, index) => (index % 2 === 0 ? token.kind === "atom" : token.text === "."))
  );
}

function textOf(tokens: readonly Token[]): string {
  return tokens.map((token) => token.text).join("");
}

/** RFC 5322 §3.2: atoms, quoted strings, specials; white space and comments only set `spaced`. */
function tokenize(text: string): Token[] | null {
  const tokens: Token[] = [];
  let at = 0;
  let spaced = false;
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? null;
    if (found !== null) at += found.length;
    return found;
  };
  while (at < text.length) {
    if (take(lexis.space) !== null || take(lexis.comment) !== null) {
      spaced = true;
      continue;
    }
    const token = takeToken(take, text[at]!);
    if (token === null) return null;
    if (token.kind === "special") at++;
    tokens.push({ ...token, spaced });
    spaced = false;
  }
  return tokens;
}

function takeToken(take: (pattern: RegExp) => string | null, next: string): Omit<Token, "spaced"> | null {
  for (const kind of ["atom", "quoted", "literal"] as const) {
    const text = take(lexis[kind]);
    if (text !== null) return { kind, text };
  }
  return "<>@.".includes(next) ? { kind: "special", text: next } : null;
}
