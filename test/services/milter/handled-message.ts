/**
 * Envelope, header and body through the whole handlers of both directions, as session.ts drives them: what the
 * client is told, what becomes of the header, and how much processor time it took. Used by the property tests, the
 * corpus and the fuzzer. Inputs of the fuzzer are a line of envelope, its pieces divided by tabs, and the message.
 */
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { findDkimKey } from "../../../appliance/dns/dkim-record.ts";
import { beginIncoming } from "../../../services/milter/incoming.ts";
import type { KeyAnswer } from "../../../services/milter/key-lookup.ts";
import { type Change, isRefusal, type MessageHandler } from "../../../services/milter/message.ts";
import { beginOutgoing } from "../../../services/milter/outgoing.ts";
import { createRateLimit } from "../../../services/milter/rate-limit.ts";
import { type Refusal, replyLine } from "../../../services/milter/refusal.ts";
import { timed } from "./cpu-limit.ts";
import { ed25519Key, keyRecord } from "./dkim-message.ts";
import type { WholeMessage } from "./whole-message.ts";

export type Submission = Readonly<{
  /** Argument of MAIL FROM. */
  sender: string;
  /** Who logged in; empty for nobody. */
  login: string;
  recipients: readonly string[];
  message: WholeMessage;
}>;

export type Delivery = Readonly<{
  sender: string;
  /** The client's IP address; empty when it is not known. */
  client: string;
  /** What DKIM finds when the message is signed for the domain; null for no signature. */
  signature: Signature | null;
  message: WholeMessage;
}>;

export type Signature = Readonly<{ domain: string; kind: "good" | "broken" | "without an answer" }>;

export type Handled = Readonly<{
  /** "accepted", "accepted, empty sender", or the reply without what it quotes of the message. */
  outcome: string;
  /** The header as it goes on, the first field the new signature in outgoing mail; null when refused. */
  fields: WholeMessage["fields"] | null;
  /** Processor time of the handler alone. */
  milliseconds: number;
}>;

const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 });
/** The p= value of the key that outgoing messages are signed with, under s1._domainkey.a.test. */
export const outgoingKey = rsa.publicKey.export({ type: "spki", format: "der" }).toString("base64");
export const signing = { domain: "a.test", selector: "s1", key: rsa.privateKey };

export async function handleSubmission(
  { sender, login, recipients, message }: Submission,
  cuts: readonly number[] = [],
): Promise<Handled> {
  const rateLimit = createRateLimit({ perMinute: 60, burst: 10 });
  const begin = () =>
    beginOutgoing(sender, login === "" ? undefined : login, { key: signing, rateLimit, now: () => 0 });
  return handle(begin, recipients, message, cuts);
}

const theirs = ed25519Key();
export const theirRecord = keyRecord(theirs);
const found = findDkimKey([[theirRecord]]);
if ("problem" in found) throw new Error(found.problem);
const record = found;

export async function handleDelivery(
  { sender, client, signature, message }: Delivery,
  cuts: readonly number[] = [],
): Promise<Handled> {
  const signed = signature === null ? message : withSignature(message, signature);
  const answer: KeyAnswer =
    signature?.kind === "without an answer"
      ? { kind: "unavailable", detail: "no answer" }
      : { kind: "key", record };
  const services = { lookUpKey: async () => answer, date: () => 0 };
  return handle(() => beginIncoming(sender, client === "" ? null : client, services), [], signed, cuts);
}

/** With a signature in front, the body hashed simply (RFC 6376 §3.4.3): made here so that any octets can be signed. */
function withSignature({ fields, body }: WholeMessage, signature: Signature): WholeMessage {
  const simple = `${body.toString("latin1").replace(/(?:\r\n)+$/, "")}\r\n`;
  const bodyHash = createHash("sha256").update(simple, "latin1").digest("base64");
  return { fields: [signatureField(fields, bodyHash, signature), ...fields], body };
}

/** A signature over From in relaxed form (RFC 6376 §3.4.2), by the key that `theirRecord` publishes. */
export function signatureField(
  fields: WholeMessage["fields"],
  bodyHash: string,
  { domain, kind }: Signature,
): [name: string, value: string] {
  const from = fields.findLast(([name]) => name.trimEnd().toLowerCase() === "from")?.[1];
  const relaxed = from
    ?.replace(/\r?\n/g, "")
    .replace(/[ \t]+/g, " ")
    .replace(/^ | $/g, "");
  const tags = ` v=1; a=ed25519-sha256; c=relaxed/simple; d=${domain}; s=s1; h=from; bh=${bodyHash}; b=`;
  const header = `${relaxed === undefined ? "" : `from:${relaxed}\r\n`}dkim-signature:${tags.trim()}`;
  const digest = createHash("sha256").update(header, "latin1");
  if (kind === "broken") digest.update("x");
  return ["DKIM-Signature", `${tags}${sign(null, digest.digest(), theirs.privateKey).toString("base64")}`];
}

async function handle(
  begin: () => MessageHandler | Refusal,
  recipients: readonly string[],
  message: WholeMessage,
  cuts: readonly number[],
): Promise<Handled> {
  const { result: decision, milliseconds } = await timed(() => decide(begin, recipients, message, cuts));
  if ("code" in decision) return { outcome: withoutQuotes(replyLine(decision)), fields: null, milliseconds };
  const isEmptied = decision.some(({ kind }) => kind === "empty sender");
  return {
    outcome: isEmptied ? "accepted, empty sender" : "accepted",
    fields: changedFields(message.fields, decision),
    milliseconds,
  };
}

/** As session.ts does. */
async function decide(
  begin: () => MessageHandler | Refusal,
  recipients: readonly string[],
  { fields, body }: WholeMessage,
  cuts: readonly number[],
): Promise<Refusal | readonly Change[]> {
  const begun = begin();
  if (isRefusal(begun)) return begun;
  for (const recipient of recipients) begun.recipient(recipient);
  for (const [name, value] of fields) begun.header(name, value);
  let progress = begun.endOfHeader();
  let start = 0;
  for (const end of [...cuts, body.length]) {
    // A fresh copy each: pieces are valid during the call only.
    if (progress === "more" && end > start) progress = begun.body(Buffer.from(body.subarray(start, end)));
    start = end;
  }
  const decision = typeof progress === "string" ? await begun.end() : progress;
  return "refusal" in decision ? decision.refusal : decision.changes;
}

function withoutQuotes(reply: string): string {
  return /^(?:500 Invalid FROM|553 5\.7\.1)/.exec(reply)?.[0] ?? reply;
}

/** What a mail server makes of the changes, one after the other. */
function changedFields(fields: WholeMessage["fields"], changes: readonly Change[]): WholeMessage["fields"] {
  const changed = [...fields];
  for (const change of changes) {
    if (change.kind === "empty sender") continue;
    if (change.kind === "insert header") {
      changed.unshift([change.name, change.value]);
      continue;
    }
    const wanted = change.name.toLowerCase();
    const places = changed.flatMap(([name], place) =>
      name.trimEnd().toLowerCase() === wanted ? [place] : [],
    );
    const place = places[change.index - 1];
    if (place === undefined)
      throw new Error(`a change of ${change.name} number ${change.index}, which is not there`);
    if (change.kind === "remove header") changed.splice(place, 1);
    else changed[place] = [change.name, change.value];
  }
  return changed;
}
