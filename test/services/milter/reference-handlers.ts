/**
 * The rules of both directions once more, in plain words over the whole message: who may send, what may pass, what
 * becomes of the header. Independent of the product: From is read by mailparser and one expression, the body by the
 * reference judge. Used by the property tests and the fuzzer.
 */
import { BlockList, isIP } from "node:net";
import type { Delivery, Submission } from "./handled-message.ts";
import { asciiDomain, lowerAscii, plainFrom } from "./reference-header.ts";
import { isFlood, plainFields, plainType, referenceVerdict } from "./reference-judge.ts";
import type { WholeMessage } from "./whole-message.ts";

/** Any of these is right: of two faults the one that is seen first is told. */
export type Expected = readonly string[];

const unencrypted = "523 Encryption Needed: Invalid Unencrypted Mail";
const flood = "552 5.3.4 Message header exceeds maximum size";
const invalidFrom = "500 Invalid FROM";

export async function expectedOfSubmission(submission: Submission): Promise<Expected> {
  const { login, message } = submission;
  const sender = envelopeAddress(submission.sender);
  if (login === "") return ["530 5.7.0 Authentication required"];
  if (sender === "" || sender !== envelopeAddress(login)) return ["553 5.7.1"];
  if (isFlood(message.fields)) return [flood];
  if ((await fromOf(message)) !== sender) return [invalidFrom];
  if ((await referenceVerdict(message, false)) !== "unencrypted") return ["accepted"];
  const top = plainFields(message.fields);
  const recipients = submission.recipients.map(envelopeAddress).filter((recipient) => recipient !== "");
  const isSetupMessage =
    recipients.join() === sender &&
    top("subject").join("\n") === "Autocrypt Setup Message" &&
    plainType(top("content-type")) === "multipart/mixed";
  return [isSetupMessage ? "accepted" : unencrypted];
}

/** The header of a submission as everybody else may see it, the new signature not counted. */
export function coveredFields(fields: WholeMessage["fields"]): WholeMessage["fields"] {
  const nameOf = ([name]: readonly [string, string]) => name.trimEnd().toLowerCase();
  const first = fields.find((field) => nameOf(field) === "subject");
  const revealing = ["received", "x-originating-ip", "x-mailer", "user-agent"];
  return fields
    .filter((field) => !revealing.includes(nameOf(field)) && (nameOf(field) !== "subject" || field === first))
    .map(([name, value]) => [name.trimEnd(), nameOf([name, value]) === "subject" ? " [...]" : value]);
}

export async function expectedOfDelivery({
  sender,
  client,
  signature,
  message,
}: Delivery): Promise<Expected> {
  if (isFlood(message.fields)) return [flood];
  const from = await fromOf(message);
  if (from === null) return [invalidFrom];
  const domain = from.slice(from.lastIndexOf("@") + 1);
  const top = plainFields(message.fields);
  const isReport =
    from.slice(0, from.lastIndexOf("@")) === "mailer-daemon" &&
    top("auto-submitted").some((value) => value !== "") &&
    plainType(top("content-type")) === "multipart/report";
  const mayEnter = isReport || (await referenceVerdict(message, true)) !== "unencrypted";
  const fault = domain.startsWith("[")
    ? literalFault(domain, client)
    : signatureFault(domain, signature, top("dkim-signature").length);
  if (fault !== null) {
    if (mayEnter) return [fault];
    // The DNS is not asked about what is refused anyway; what stands in the header is seen first.
    return fault === noSignature || domain.startsWith("[") ? [fault, unencrypted] : [unencrypted];
  }
  if (!mayEnter) return [unencrypted];
  const envelope = envelopeAddress(sender);
  return [envelope === "" || envelope === from ? "accepted" : "accepted, empty sender"];
}

const noSignature = "554 5.7.1 No DKIM signature found";

/** Signatures other than the one that was made for this message are good for nothing. */
function signatureFault(domain: string, signature: Delivery["signature"], others: number): string | null {
  if (signature === null && others === 0) return noSignature;
  if (signature?.domain !== domain || signature.kind === "broken") {
    return "554 5.7.1 No valid DKIM signature found";
  }
  return signature.kind === "good" ? null : "451 4.4.3 DKIM key lookup failed, try again later";
}

function literalFault(domain: string, client: string): string | null {
  const address = domain.slice(1, -1).replace(/^ipv6:/, "");
  const list = new BlockList();
  const family = (text: string) => (isIP(text) === 6 ? "ipv6" : "ipv4");
  if (isIP(address) !== 0) list.addAddress(address, family(address));
  return isIP(client) !== 0 && list.check(client, family(client))
    ? null
    : "554 5.7.1 Address literal is not the client's address";
}

async function fromOf({ fields }: WholeMessage): Promise<string | null> {
  const [value, ...others] = plainFields(fields)("from");
  return value === undefined || others.length > 0 ? null : plainFrom(value);
}

/** Empty for the null sender. */
function envelopeAddress(argument: string): string {
  const bare = /^<(.*)>$/s.exec(argument)?.[1] ?? argument;
  const at = bare.lastIndexOf("@");
  if (at < 0) return lowerAscii(bare);
  const domain = asciiDomain(bare.slice(at + 1).replace(/\.$/, ""));
  return lowerAscii(`${bare.slice(0, at)}@${domain}`);
}
