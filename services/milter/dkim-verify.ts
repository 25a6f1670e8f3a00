/**
 * Demands of incoming mail a valid DKIM signature by exactly the From domain (RFC 6376; strict alignment as in
 * RFC 7489 §3.1.1). The work is mailauth's; it gets the message as a stream, and what could make it slow or
 * large is kept from it. The resolver is passed in. Called by incoming.ts.
 */
import { once } from "node:events";
import { PassThrough } from "node:stream";
import type { DKIMResult, DNSResolver } from "mailauth";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { normalDomain } from "./address.ts";
import type { HeaderField } from "./header-field.ts";

/** Answers with the TXT records of a name as lists of their strings; rejects with the codes of node:dns. */
export type TxtResolver = (name: string) => Promise<string[][]>;

export type DkimResult = Readonly<{
  /**
   * "none": no signature at all; "unavailable": the key could not be looked up just now.
   * The detail is for the log.
   */
  kind: "valid" | "none" | "invalid" | "unavailable";
  detail: string;
}>;

export type DkimVerifier = Readonly<{
  /** Takes the next piece of the body; resolves when the verifier is ready for more. */
  write(piece: Buffer): Promise<void>;
  end(): Promise<DkimResult>;
  /** Lets go of everything; no result is wanted. */
  abort(): void;
}>;

/** Each distinct kind of signature hashes the body once more. Real mail has one to three. */
const MAX_SIGNATURES = 8;
/** RSA-4096 with many signed names takes 3 kB; the parser takes quadratic time in white space. */
const MAX_SIGNATURE_FIELD = 8192;
/** mailauth holds a whole line, again and again: SMTP allows 998 octets (RFC 5321 §4.5.3.1.6). */
const MAX_LINE_BYTES = 65536;
/** RFC 8301 §3.2. */
const MIN_KEY_BITS = 1024;

const lineFeed = 0x0a;

export function createDkimVerifier(
  fields: readonly HeaderField[],
  fromDomain: string,
  resolveTxt: TxtResolver,
): DkimVerifier {
  const signatures = fields.filter(isSignature);
  if (signatures.length === 0) return settled({ kind: "none", detail: "no DKIM-Signature field" });
  if (
    signatures.length > MAX_SIGNATURES ||
    signatures.some((field) => field.value.length > MAX_SIGNATURE_FIELD)
  ) {
    return settled({ kind: "invalid", detail: "too many or too long DKIM-Signature fields" });
  }
  const stream = new PassThrough();
  const verification = dkimVerify(stream, {
    resolver: alignedResolver(fromDomain, resolveTxt),
    minBitLength: MIN_KEY_BITS,
    rejectRsaSha1: true,
  });
  // Awaited in end(); an error before that must not count as unhandled.
  const ended = verification.then(
    () => undefined,
    () => undefined,
  );
  let isLineTooLong = false;
  let lineBytes = 0;

  const write = async (piece: Buffer): Promise<void> => {
    if (isLineTooLong) return;
    lineBytes = longestLine(piece, lineBytes, () => {
      isLineTooLong = true;
      stream.destroy();
    });
    if (!isLineTooLong && !stream.write(piece)) await Promise.race([once(stream, "drain"), ended]);
  };
  stream.write(Buffer.from(headerText(fields), "latin1"));

  return {
    write,
    async end() {
      if (isLineTooLong) return { kind: "invalid", detail: `a line longer than ${MAX_LINE_BYTES} bytes` };
      stream.end();
      const { results } = await verification;
      return combine(results, fromDomain);
    },
    abort: () => void stream.destroy(),
  };
}

/** One valid and aligned signature is enough; otherwise the reason most worth knowing. */
function combine(results: readonly DKIMResult[], fromDomain: string): DkimResult {
  const detail = results
    .map(({ signingDomain, status }) => `${signingDomain}: ${status.result} ${status.comment ?? ""}`.trim())
    .join("; ");
  const aligned = results.filter(({ signingDomain }) => normalDomain(signingDomain ?? "") === fromDomain);
  const isValid = aligned.some(
    // RFC 6376 §8.2: what stands behind a length limit (l=) is not signed, so it must not be there.
    // §3.6.1: mail signed by a key under test (t=y) counts as unsigned.
    ({ status }) =>
      status.result === "pass" &&
      !("underSized" in status && Number(status.underSized) > 0) &&
      !("testing" in status && status.testing),
  );
  if (isValid) return { kind: "valid", detail };
  return {
    kind: aligned.some(({ status }) => status.result === "temperror") ? "unavailable" : "invalid",
    detail,
  };
}

/** Looks up keys of the From domain only: other signatures cannot help, and ask for no DNS traffic. */
function alignedResolver(fromDomain: string, resolveTxt: TxtResolver): DNSResolver {
  let outage: unknown = null;
  return async (name) => {
    if (!normalDomain(name).endsWith(`._domainkey.${fromDomain}`)) throw noSuchName(name);
    // One domain's servers answer or they do not: waiting for each of many selectors would take too long.
    if (outage !== null) throw outage;
    try {
      return await resolveTxt(name);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      // A selector that is no name at all cannot be looked up later either.
      if (code === "ENOTFOUND" || code === "ENODATA" || code === "EBADNAME") throw noSuchName(name);
      outage = error;
      throw error;
    }
  };
}

function noSuchName(name: string): Error {
  return Object.assign(new Error(`no DKIM key at ${name}`), { code: "ENOTFOUND" });
}

function isSignature(field: HeaderField): boolean {
  return field.name.toLowerCase() === "dkim-signature";
}

/** The header as it came over the wire. ARC fields stay out: nobody asks for their chain. */
function headerText(fields: readonly HeaderField[]): string {
  const lines = fields
    .filter((field) => !field.name.toLowerCase().startsWith("arc-"))
    .map(({ name, value }) => `${name}:${value.replace(/\r?\n/g, "\r\n")}\r\n`);
  return `${lines.join("")}\r\n`;
}

/** Follows line lengths through the pieces; returns the length of the unfinished line. */
function longestLine(piece: Buffer, unfinished: number, onTooLong: () => void): number {
  let start = -unfinished;
  for (;;) {
    const end = piece.indexOf(lineFeed, Math.max(start, 0));
    if ((end < 0 ? piece.length : end) - start > MAX_LINE_BYTES) onTooLong();
    if (end < 0) return piece.length - start;
    start = end + 1;
  }
}

function settled(result: DkimResult): DkimVerifier {
  return { write: async () => {}, end: async () => result, abort: () => {} };
}
