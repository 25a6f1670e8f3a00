/**
 * Signs outgoing mail (RFC 6376; rsa-sha256 with relaxed/relaxed canonicalization, the only kind everybody
 * verifies: RFC 8301 §3.1). The body's hash comes from body-hash.ts; the header is taken as the other side will
 * receive it, after all changes. Called by outgoing.ts.
 */
import { type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";
import type { HeaderField } from "./header-field.ts";

export type SigningKey = Readonly<{
  domain: string;
  selector: string;
  /** RSA private key. */
  key: KeyObject;
}>;

/** Fields worth protecting (RFC 6376 §5.4.1) that mail servers on the way leave alone. */
const signedNames = new Set(
  `from reply-to sender subject date message-id to cc in-reply-to references auto-submitted
  mime-version content-type content-transfer-encoding content-id content-description
  resent-date resent-from resent-sender resent-to resent-cc resent-message-id
  list-id list-help list-unsubscribe list-subscribe list-post list-owner list-archive
  autocrypt autocrypt-gossip autocrypt-setup-message`.split(/\s+/),
);
/** What Delta Chat's own fields begin with. */
const signedPrefixes = ["chat-", "secure-join"];

/** Signed once more than it occurs, so that a second From cannot be added on the way (RFC 6376 §5.4.2). */
const oversignedName = "from";

/** RFC 5322 §2.1.1 asks for lines of at most 78 characters. */
const FOLD_WIDTH = 72;

const signAsync = promisify(sign);

/**
 * The value of the DKIM-Signature field for a message, with the space after the colon, folded by "\n".
 * There is no t= tag: a device whose clock is ahead would make mail that others refuse.
 * Rejects when the key cannot sign.
 *
 * @param fields the header as the other side receives it, in its order
 * @param bodyHash base64, from createBodyHash
 */
export async function dkimSignature(
  fields: readonly HeaderField[],
  bodyHash: string,
  { domain, selector, key }: SigningKey,
): Promise<string> {
  const signed = signedFields(fields);
  const names = [...signed.map((field) => field.name), oversignedName];
  const unsigned =
    ` v=1; a=rsa-sha256; c=relaxed/relaxed;\n\td=${domain}; s=${selector};\n\th=${foldNames(names)};` +
    `\n\tbh=${bodyHash};\n\tb=`;
  const text = [
    ...signed.map((field) => `${relaxField(field)}\r\n`),
    relaxField({ name: "DKIM-Signature", value: unsigned }),
  ].join("");
  const signature = await signAsync("sha256", Buffer.from(text, "latin1"), key);
  return unsigned + foldBase64(signature.toString("base64"));
}

/** Letters, digits and hyphens: what field names in real use are made of. */
const plainName = /^[a-z0-9-]+$/;

/** The signed fields in the order of h=: of several with one name the last comes first (RFC 6376 §5.4.2). */
function signedFields(fields: readonly HeaderField[]): HeaderField[] {
  return (
    fields
      .map((field) => ({ ...field, name: field.name.toLowerCase() }))
      // A name stands in our own tag list (h=), so one with a colon or semicolon in it must not get there.
      .filter(({ name }) => plainName.test(name))
      .filter(({ name }) => signedNames.has(name) || signedPrefixes.some((prefix) => name.startsWith(prefix)))
      .reverse()
  );
}

/** RFC 6376 §3.4.2. */
export function relaxField({ name, value }: HeaderField): string {
  const unfolded = value.replace(/\r?\n/g, "").replace(/[ \t]+/g, " ");
  return `${name.trim().toLowerCase()}:${unfolded.replace(/^ | $/g, "")}`;
}

function foldNames(names: readonly string[]): string {
  let folded = "";
  let width = 0;
  for (const [index, name] of names.entries()) {
    const piece = index === names.length - 1 ? name : `${name}:`;
    if (width > 0 && width + piece.length > FOLD_WIDTH) {
      folded += "\n\t ";
      width = 0;
    }
    folded += piece;
    width += piece.length;
  }
  return folded;
}

function foldBase64(text: string): string {
  return (text.match(new RegExp(`.{1,${FOLD_WIDTH}}`, "g")) ?? []).join("\n\t ");
}
