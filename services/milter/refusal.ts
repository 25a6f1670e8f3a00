/**
 * The one error type that reaches the wire, and every refusal the milter can give. The reply texts that
 * clients and their tests know are kept word for word. Why a message was refused in detail goes to the log
 * only: strangers learn no more than these lines. Reply syntax: RFC 5321 §4.2, RFC 3463.
 */

export type Refusal = Readonly<{
  /** SMTP reply code, 4xx or 5xx. */
  code: number;
  /** RFC 3463 status code of the same class, or null when the known text has none. */
  enhanced: string | null;
  /** True when the sender should try again (4xx). */
  temporary: boolean;
  text: string;
  /** Why, in a word, for the counters: it names nobody. */
  reason: string;
}>;

/** RFC 5321 §4.5.3.1.5: a reply line has at most 512 octets, code and CRLF included. */
const MAX_REPLY_LINE = 510;

/** The refusal as an SMTP reply line without CRLF, printable ASCII whatever its text was made of. */
export function replyLine(refusal: Refusal): string {
  const status = refusal.enhanced === null ? "" : `${refusal.enhanced} `;
  return `${refusal.code} ${status}${refusal.text}`.replace(/[^\x20-\x7e]/g, "?").slice(0, MAX_REPLY_LINE);
}

function permanent(reason: string, code: number, enhanced: string | null, text: string): Refusal {
  return { code, enhanced, temporary: false, text, reason };
}

function temporary(reason: string, code: number, enhanced: string | null, text: string): Refusal {
  return { code, enhanced, temporary: true, text, reason };
}

/** The From field is not one address, or not the envelope sender's. */
export function invalidFrom(from: string | null, envelopeSender: string): Refusal {
  return permanent("from", 500, null, `Invalid FROM <${from ?? ""}> for <${envelopeSender}>`);
}

export const unencryptedMail = permanent(
  "unencrypted",
  523,
  null,
  "Encryption Needed: Invalid Unencrypted Mail",
);

/** RFC 4954 §6. */
export const loginNeeded = permanent("no_login", 530, "5.7.0", "Authentication required");

/** The envelope sender is not the address that logged in. */
export function senderNotOwned(envelopeSender: string, login: string): Refusal {
  return permanent(
    "sender",
    553,
    "5.7.1",
    `<${envelopeSender}>: Sender address rejected: not owned by user ${login}`,
  );
}

/** The colon after the status code is part of the known text, and makes it no RFC 3463 code by syntax. */
export function tooMuchMail(address: string): Refusal {
  return temporary("rate", 450, null, `4.7.1: Too much mail from ${address}`);
}

export const noDkimSignature = permanent("no_dkim", 554, "5.7.1", "No DKIM signature found");
export const noValidDkimSignature = permanent("bad_dkim", 554, "5.7.1", "No valid DKIM signature found");
export const dkimKeyUnavailable = temporary(
  "dkim_key_unavailable",
  451,
  "4.4.3",
  "DKIM key lookup failed, try again later",
);
export const dkimTooEarly = temporary(
  "dkim_too_early",
  451,
  "4.7.1",
  "DKIM signature is of a time to come, try again later",
);

/** A sender whose domain is an address literal speaks from another address. */
export const wrongAddressLiteral = permanent(
  "address_literal",
  554,
  "5.7.1",
  "Address literal is not the client's address",
);

export const headerTooLarge = permanent(
  "header_too_large",
  552,
  "5.3.4",
  "Message header exceeds maximum size",
);

/** Something broke on our side: the sender keeps the message. */
export const internalError = temporary("internal_error", 451, "4.3.0", "Internal error, try again later");

/** Postfix came in under a name the milter does not know, or lets it change too little: its configuration and ours disagree. */
export const serverMisconfigured = temporary("misconfigured", 451, "4.3.5", "Server configuration problem");
