/**
 * What may leave: the rules for mail that an account submits (From = envelope sender = login, end-to-end
 * encrypted, not too much), what is taken out of its header, and the signature. Bounces that Postfix writes
 * itself are only signed. Called by session.ts for the daemons `submission`, `smtps` and `bounce`.
 */
import { type Address, formatAddress, parseEnvelope, parseFrom, sameAddress } from "./address.ts";
import { createBodyHash } from "./body-hash.ts";
import { dkimSignature, type SigningKey } from "./dkim-sign.ts";
import { createHeaderList, fromBinary, type HeaderField } from "./header-field.ts";
import { createJudge, type Judge, type Verdict } from "./judge.ts";
import type { Change, MessageHandler, Progress, Refused } from "./message.ts";
import { parseContentType } from "./mime-header.ts";
import type { RateLimit } from "./rate-limit.ts";
import {
  headerTooLarge,
  invalidFrom,
  loginNeeded,
  type Refusal,
  senderNotOwned,
  tooMuchMail,
  unencryptedMail,
} from "./refusal.ts";

export type OutgoingServices = Readonly<{ key: SigningKey; rateLimit: RateLimit; now(): number }>;

/** What the rules look at. */
export type OutgoingMessage = Readonly<{
  sender: Address;
  recipients: readonly Address[];
  /** The values of all top-level fields of a name (lower case). */
  values(name: string): string[];
  verdict: Verdict;
}>;

/** The Subject other servers and the recipient's relay see; clients have the real one inside the encryption. */
const coveredSubject = "[...]";

/** Fields that tell about the sender's device and network. */
const revealingNames = new Set(["received", "x-originating-ip", "x-mailer", "user-agent"]);

/** More recipients than one are only counted: a message to oneself has one. */
const KEPT_RECIPIENTS = 2;

/** Decides at MAIL FROM: refuses, or gives the handler of the message. */
export function beginOutgoing(
  envelopeSender: string,
  login: string | undefined,
  services: OutgoingServices,
): MessageHandler | Refusal {
  const sender = parseEnvelope(envelopeSender);
  if (login === undefined || login === "") return loginNeeded;
  if (sender === null || !sameAddress(sender, parseEnvelope(login))) {
    return senderNotOwned(formatAddress(sender), login);
  }
  const account = formatAddress(sender).toLowerCase();
  if (!services.rateLimit.take(account, services.now())) return tooMuchMail(formatAddress(sender));
  return outgoingHandler(sender, services.key);
}

/** Why the message may not leave, or null. */
export function outgoingRefusal({ sender, recipients, values, verdict }: OutgoingMessage): Refusal | null {
  const refusal = fromRefusal(sender, values);
  if (refusal !== null) return refusal;
  if (verdict.kind !== "unencrypted" || isSetupMessage(sender, recipients, values)) return null;
  return unencryptedMail;
}

function fromRefusal(sender: Address, values: OutgoingMessage["values"]): Refusal | null {
  const fromValues = values("from");
  const from = fromValues.length === 1 ? parseFrom(fromBinary(fromValues[0]!)) : null;
  if (from !== null && sameAddress(from, sender)) return null;
  return invalidFrom(from === null ? null : formatAddress(from), formatAddress(sender));
}

/** An Autocrypt Setup Message to oneself: encrypted too, but not as OpenPGP/MIME. */
function isSetupMessage(
  sender: Address,
  recipients: readonly Address[],
  values: OutgoingMessage["values"],
): boolean {
  const subjects = values("subject");
  const types = values("content-type");
  return (
    recipients.length === 1 &&
    sameAddress(recipients[0]!, sender) &&
    subjects.length === 1 &&
    subjects[0] === "Autocrypt Setup Message" &&
    types.length === 1 &&
    parseContentType(types[0]!)?.type === "multipart/mixed"
  );
}

/** The header after our changes, and those changes in an order in which indexes stay true. */
export function coverHeader(fields: readonly HeaderField[]): { fields: HeaderField[]; changes: Change[] } {
  const kept: HeaderField[] = [];
  const changes: Change[] = [];
  const seen = new Map<string, number>();
  for (const field of fields) {
    const name = field.name.toLowerCase();
    const index = (seen.get(name) ?? 0) + 1;
    seen.set(name, index);
    const isSecondSubject = name === "subject" && index > 1;
    if (revealingNames.has(name) || isSecondSubject) {
      changes.push({ kind: "remove header", index, name: field.name });
    } else if (name === "subject") {
      const covered = { name: field.name, value: ` ${coveredSubject}` };
      changes.push({ kind: "replace header", index, ...covered });
      kept.push(covered);
    } else {
      kept.push(field);
    }
  }
  // Removing one field renumbers those of its name behind it: begin at the end.
  return { fields: kept, changes: changes.reverse() };
}

function outgoingHandler(sender: Address, key: SigningKey): MessageHandler {
  const header = createHeaderList();
  const recipients: Address[] = [];
  const bodyHash = createBodyHash();
  let judge: Judge | null = null;
  let isSetup = false;

  const refused = (verdict: Verdict): Refused | null => {
    const refusal = outgoingRefusal({ sender, recipients, values: header.values, verdict });
    return refusal && { refusal, detail: verdict.kind === "unencrypted" ? verdict.reason : verdict.kind };
  };
  /** The refusal as soon as nothing can avert it. */
  const progress = (): Progress => (judge!.isHopeless() && !isSetup && refused(judge!.end())) || "more";

  return {
    recipient(argument) {
      const address = parseEnvelope(argument);
      if (address !== null && recipients.length < KEPT_RECIPIENTS) recipients.push(address);
    },
    header: header.add,
    endOfHeader() {
      if (header.tooLarge()) return { refusal: headerTooLarge, detail: "header" };
      judge = createJudge({ ...header, allowArmorVersion: false });
      isSetup = isSetupMessage(sender, recipients, header.values);
      const refusal = fromRefusal(sender, header.values);
      return refusal === null ? progress() : { refusal, detail: "From" };
    },
    body(piece) {
      judge!.write(piece);
      bodyHash.write(piece);
      return progress();
    },
    async end() {
      const refusal = refused(judge!.end());
      if (refusal !== null) return refusal;
      const covered = coverHeader(header.fields);
      return { changes: [...covered.changes, await signatureField(covered.fields, bodyHash.digest(), key)] };
    },
  };
}

/** Takes a bounce that Postfix made (it names no strangers' clients and comes from us), and signs it. */
export function beginBounce(key: SigningKey): MessageHandler {
  const header = createHeaderList();
  const bodyHash = createBodyHash();
  return {
    recipient() {},
    header: header.add,
    endOfHeader: () => (header.tooLarge() ? { refusal: headerTooLarge, detail: "header" } : "more"),
    body(piece) {
      bodyHash.write(piece);
      return "more";
    },
    async end() {
      return { changes: [await signatureField(header.fields, bodyHash.digest(), key)] };
    },
  };
}

async function signatureField(
  fields: readonly HeaderField[],
  bodyHash: string,
  key: SigningKey,
): Promise<Change> {
  return { kind: "insert header", name: "DKIM-Signature", value: await dkimSignature(fields, bodyHash, key) };
}
