/**
 * The one place that says what a relay's mail domain may look like (RFC 1034 §3.5, RFC 5890 for names in
 * other scripts). Called by the settings (relay-config.ts) and by `./homing init`.
 */
import { isIP } from "node:net";
import { domainToASCII, domainToUnicode } from "node:url";

/** RFC 1035 §2.3.4. */
const MAX_LABEL_LENGTH = 63;
/**
 * An address has at most 254 characters (RFC 5321 §4.5.3.1.3), 64 of them before the "@". What remains also
 * leaves room below 253 for the longest name in front, `<selector>._domainkey.`.
 */
export const MAX_DOMAIN_LENGTH = 189;

/** The domain cannot be a relay's; the message says what was found and what is allowed. */
export class DomainError extends Error {
  override name = "DomainError";
}

/**
 * The domain in the form in which it is used everywhere: lower case, other scripts as A-labels ("xn--…"),
 * without a final dot. Throws DomainError.
 */
export function parseDomain(text: string): string {
  const given = text.trim().replace(/\.$/, "");
  const refuse = (reason: string) => new DomainError(`“${text}” cannot be a relay's domain: ${reason}`);
  if (given === "") throw refuse("it is empty; write a name like chat.example.org");
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(given) || given.includes("/")) {
    throw refuse("write only the name, like chat.example.org, without https:// and without a path");
  }
  if (given.includes("@")) throw refuse("write only what comes after the “@”");
  if (isAddressLiteral(given)) {
    throw refuse("it is an IP address; a relay needs a name of its own, like chat.example.org");
  }
  if (/:\d+$/.test(given)) throw refuse("write the name without a port number");
  const ascii = domainToASCII(given).toLowerCase();
  if (ascii === "") {
    const strange = /[^\p{L}\p{N}\p{M}._-]/u.exec(given)?.[0];
    throw refuse(
      strange
        ? `“${strange}” is not allowed in a name`
        : "it is not a valid name (letters, digits, “-” and “.”)",
    );
  }
  // Numbers in other notations ("0x7f.1", "127.1") only now show that they are addresses.
  if (isAddressLiteral(ascii)) {
    throw refuse(`it means the IP address ${ascii}; a relay needs a name of its own, like chat.example.org`);
  }
  checkLabels(ascii, refuse);
  if (ascii.length > MAX_DOMAIN_LENGTH) {
    throw refuse(
      `it has ${ascii.length} characters${ascii === given ? "" : " as A-labels"}, at most ${MAX_DOMAIN_LENGTH} are ` +
        "allowed: the addresses below it would become longer than mail allows",
    );
  }
  return ascii;
}

function checkLabels(ascii: string, refuse: (reason: string) => DomainError): void {
  const labels = ascii.split(".");
  if (labels.length < 2) throw refuse("it has only one part; write the whole name, like chat.example.org");
  for (const [index, label] of labels.entries()) {
    if (label === "") throw refuse("it has two dots in a row or begins with a dot");
    if (label.length > MAX_LABEL_LENGTH) {
      throw refuse(
        `its part “${label}” has ${label.length} characters, at most ${MAX_LABEL_LENGTH} are allowed`,
      );
    }
    // "_" in front marks a test relay; anywhere else host names may not have it (RFC 1123 §2.1).
    const plain = index === 0 ? label.replace(/^_/, "") : label;
    if (plain.includes("_")) throw refuse("“_” is allowed only as the first character, for test relays");
    const strange = /[^a-z0-9-]/.exec(plain)?.[0];
    if (strange) throw refuse(`“${strange}” is not allowed in a name`);
    if (plain === "" || plain.startsWith("-") || plain.endsWith("-")) {
      throw refuse(`its part “${label}” must begin and end with a letter or a digit`);
    }
    if (plain.startsWith("xn--") && !isALabel(plain)) {
      throw refuse(`its part “${label}” is not a valid A-label`);
    }
  }
  if (/^\d+$/.test(labels.at(-1) ?? ""))
    throw refuse("its last part is a number; that is no name on the Internet");
}

/** Decoding leaves a wrong A-label as it is, and a right one comes back the same (RFC 5891 §5.3). */
function isALabel(label: string): boolean {
  const decoded = domainToUnicode(label);
  return decoded !== label && domainToASCII(decoded) === label;
}

function isAddressLiteral(text: string): boolean {
  const inner = /^\[(?:IPv6:)?(.*)\]$/i.exec(text)?.[1] ?? text;
  return isIP(inner) !== 0;
}

/**
 * True for names that begin with "_": no authority certifies them, so such a relay keeps its self-signed
 * certificate, which Delta Chat accepts for exactly these names.
 */
export function isTestDomain(domain: string): boolean {
  return domain.startsWith("_");
}

/** Names that no public DNS will ever have, by their ending. */
const specialUse: Readonly<Record<string, string>> = {
  alt: "RFC 9476",
  arpa: "RFC 3172",
  corp: "never delegated by ICANN",
  example: "RFC 6761",
  "example.com": "RFC 6761",
  "example.net": "RFC 6761",
  "example.org": "RFC 6761",
  home: "never delegated by ICANN",
  internal: "reserved by ICANN",
  invalid: "RFC 6761",
  local: "RFC 6762",
  localhost: "RFC 6761",
  onion: "RFC 7686",
  test: "RFC 6761",
};

/** The ending and the rule by which the domain can never be a public one; undefined when there is none. */
export function specialUseOf(domain: string): Readonly<{ ending: string; source: string }> | undefined {
  const labels = domain.split(".");
  const endings = labels.map((_, start) => labels.slice(start).join("."));
  const ending = endings.find((name) => Object.hasOwn(specialUse, name));
  return ending === undefined ? undefined : { ending, source: specialUse[ending]! };
}
