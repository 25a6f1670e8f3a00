/**
 * Signs outgoing mail (RFC 6376; rsa-sha256 with relaxed/relaxed canonicalization, the only kind everybody
 * verifies: RFC 8301 §3.1). The body is hashed as it streams by; the header is taken as the other side will
 * receive it, after all changes. Called by outgoing.ts.
 */
import { createHash, type KeyObject, sign } from "node:crypto";
import { promisify } from "node:util";
import type { HeaderField } from "./header-field.ts";

export type SigningKey = Readonly<{
  domain: string;
  selector: string;
  /** RSA private key. */
  key: KeyObject;
}>;

/** Fields worth protecting (RFC 6376 §5.4.1) that mail servers on the way leave alone. */
const signedNames = new Set([
  ...["from", "reply-to", "sender", "subject", "date", "message-id", "to", "cc", "in-reply-to", "references"],
  ...["mime-version", "content-type", "content-transfer-encoding", "content-id", "content-description"],
  ...["resent-date", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-message-id"],
  ...[
    "list-id",
    "list-help",
    "list-unsubscribe",
    "list-subscribe",
    "list-post",
    "list-owner",
    "list-archive",
  ],
  ...["auto-submitted", "autocrypt", "autocrypt-gossip", "autocrypt-setup-message"],
]);
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

/** The signed fields in the order of h=: of several with one name the last comes first (RFC 6376 §5.4.2). */
function signedFields(fields: readonly HeaderField[]): HeaderField[] {
  return fields
    .map((field) => ({ ...field, name: field.name.toLowerCase() }))
    .filter(({ name }) => signedNames.has(name) || signedPrefixes.some((prefix) => name.startsWith(prefix)))
    .reverse();
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

export type BodyHash = Readonly<{
  write(piece: Buffer): void;
  /** The hash in base64; call once, after the last piece. */
  digest(): string;
}>;

const space = 0x20;
const tab = 0x09;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;
/** Empty lines are hashed in blocks of this many once a line with content follows them. */
const emptyLines = Buffer.from("\r\n".repeat(4096));

/** The relaxed canonicalization of a body (RFC 6376 §3.4.4), hashed by SHA-256. Holds a few numbers between pieces. */
export function createBodyHash(): BodyHash {
  const hash = createHash("sha256");
  let output = Buffer.alloc(0);
  let length = 0;
  /** Line ends seen and not hashed yet: those at the very end count as one. */
  let lineEnds = 0;
  let isSpacePending = false;
  let isReturnPending = false;
  let hasContent = false;

  const flush = (): void => {
    if (length > 0) hash.update(output.subarray(0, length));
    length = 0;
  };
  const writeLineEnds = (): void => {
    if (lineEnds === 1) {
      output[length++] = carriageReturn;
      output[length++] = lineFeed;
    } else if (lineEnds > 1) {
      flush();
      for (let bytes = lineEnds * 2; bytes > 0; bytes -= emptyLines.length) {
        hash.update(emptyLines.subarray(0, Math.min(bytes, emptyLines.length)));
      }
    }
    lineEnds = 0;
  };
  const content = (octet: number): void => {
    if (lineEnds > 0) writeLineEnds();
    if (isSpacePending) {
      output[length++] = space;
      isSpacePending = false;
    }
    output[length++] = octet;
    hasContent = true;
  };

  /** Hashes whole lines that are canonical as they stand, all but the last line end; returns where they end. */
  const plainLines = (piece: Buffer, start: number, whiteSpace: number): number => {
    let at = start;
    for (;;) {
      const end = piece.indexOf(lineFeed, at) - 1;
      if (end <= at || end >= whiteSpace || piece[end] !== carriageReturn) break;
      // A return inside the line is content, and rare.
      if (piece.indexOf(carriageReturn, at) !== end) break;
      at = end + 2;
    }
    if (at === start) return start;
    if (lineEnds > 0) writeLineEnds();
    flush();
    hash.update(piece.subarray(start, at - 2));
    lineEnds = 1;
    hasContent = true;
    return at;
  };

  /** Takes octets one by one up to the end of the line; returns where it ends. */
  const anyLine = (piece: Buffer, start: number): number => {
    for (let at = start; at < piece.length; at++) {
      const octet = piece[at]!;
      if (octet === lineFeed) {
        lineEnds++;
        isReturnPending = false;
        isSpacePending = false;
        return at + 1;
      }
      if (isReturnPending) {
        // A return that ends no line is content like any other.
        isReturnPending = false;
        content(carriageReturn);
      }
      if (octet === carriageReturn) isReturnPending = true;
      else if (octet === space || octet === tab) isSpacePending = true;
      else content(octet);
    }
    return piece.length;
  };

  return {
    write(piece) {
      // A bare line feed becomes two octets; before the first octet may come a held line end, space and return.
      if (output.length < piece.length * 2 + 8) output = Buffer.alloc(piece.length * 2 + 8);
      let nextSpace = indexOrEnd(piece, space, 0);
      let nextTab = indexOrEnd(piece, tab, 0);
      for (let at = 0; at < piece.length; ) {
        const isLineStart = (lineEnds > 0 || !hasContent) && !isSpacePending && !isReturnPending;
        // Encrypted mail is nearly all such lines: this makes it several times faster.
        if (isLineStart) at = plainLines(piece, at, Math.min(nextSpace, nextTab));
        at = anyLine(piece, at);
        // Each searched for only when passed, so that no piece is searched again and again.
        if (nextSpace < at) nextSpace = indexOrEnd(piece, space, at);
        if (nextTab < at) nextTab = indexOrEnd(piece, tab, at);
      }
      flush();
    },
    digest() {
      if (isReturnPending) content(carriageReturn);
      // Empty lines at the end do not count; a body with content ends with one line end.
      if (hasContent) {
        lineEnds = 1;
        writeLineEnds();
      }
      flush();
      return hash.digest("base64");
    },
  };
}

function indexOrEnd(piece: Buffer, octet: number, start: number): number {
  const found = piece.indexOf(octet, start);
  return found < 0 ? piece.length : found;
}
