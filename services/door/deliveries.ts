/**
 * Decides at the end of each message who is to get it: whoever has it already does not, and where nobody saw how a
 * delivery ended, the mailbox is asked. Called by conversation.ts.
 *
 * The same message is one that has the same sender, the same recipient and, byte for byte, the same content: Postfix has
 * taken out by then what differs from one way to another (lmtp_header_checks). A person who sends the same words twice
 * sends two messages, for no two encryptions are alike.
 */
import { createHash } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { Log } from "../lib/log.ts";
import type { DeliveredList } from "./delivered-list.ts";

export type ArrivedMessage = Readonly<{
  /** Envelope sender as Postfix wrote it; empty for the null sender. */
  sender: string;
  /** Those that Dovecot will take it for. */
  recipients: readonly string[];
  /** SHA-256 of the content. */
  digest: Buffer;
  messageId: string | undefined;
}>;

/** What became of it for one recipient; "unknown" when Dovecot went away or could not say. */
export type Outcome = "delivered" | "refused" | "unknown";

export type Claim =
  /** Nobody has it. `finish` has to be called with the outcome for each recipient, which it notes. */
  | Readonly<{ kind: "deliver"; finish: (outcomes: readonly Outcome[]) => void }>
  /** Somebody has it, or it cannot be said: what holds for each recipient. Who does not have it yet gets it later. */
  | Readonly<{ kind: "answer"; verdicts: readonly ("delivered" | "later")[] }>;

export type DeliveriesOptions = Readonly<{
  list: DeliveredList;
  /** @throws when it cannot be said. */
  isInMailbox: (recipient: string, messageId: string) => Promise<boolean>;
  /** Milliseconds of a clock that never goes back. */
  now: () => number;
  counted: (outcome: Outcome | "repeated" | "found" | "later", recipient: string) => void;
  /** A message of `sender` came into the mailbox, as far as this is known for the first time. */
  arrived: (recipient: string, sender: string) => void;
  log: Log;
  settleMs?: number;
}>;

/**
 * A process of Dovecot that lost its peer may still be writing the message, so the mailbox is asked only so long
 * afterwards, in milliseconds. It takes some 10 ms, on a worn card a second or two.
 */
const SETTLE_MS = 10_000;

export type Deliveries = Readonly<{ claim: (message: ArrivedMessage) => Promise<Claim> }>;

export function createDeliveries(options: DeliveriesOptions): Deliveries {
  const { list, now, counted, log, settleMs = SETTLE_MS } = options;
  const started = now();
  /** Each ends when the list says what became of it. */
  const underWay = new Map<bigint, Promise<void>>();
  /** When this process lost sight of a delivery. Those that an earlier one began were lost by our start. */
  const lostAt = new Map<bigint, number>();

  /** False when it cannot be said. */
  const settle = async (
    { sender, messageId }: ArrivedMessage,
    recipient: string,
    fingerprint: bigint,
  ): Promise<boolean> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    underWay.set(fingerprint, promise);
    try {
      const wait = (lostAt.get(fingerprint) ?? started) + settleMs - now();
      if (wait > 0) await setTimeout(wait);
      if (messageId === undefined) log.warn("a message without a Message-ID may be delivered twice");
      const isThere = messageId !== undefined && (await options.isInMailbox(recipient, messageId));
      if (isThere) counted("found", recipient);
      list.note(isThere ? "delivered" : "refused", [fingerprint]);
      lostAt.delete(fingerprint);
      if (isThere) options.arrived(recipient, sender);
      return true;
    } catch (cause) {
      log.warn("cannot ask a mailbox for a message", { cause: String(cause) });
      return false;
    } finally {
      underWay.delete(fingerprint);
      resolve();
    }
  };

  const begin = ({ sender, recipients }: ArrivedMessage, fingerprints: readonly bigint[]): Claim => {
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const one of fingerprints) underWay.set(one, promise);
    list.note("begun", fingerprints);
    const finish = (outcomes: readonly Outcome[]): void => {
      const of = (outcome: Outcome) => fingerprints.filter((_, i) => outcomes[i] === outcome);
      for (const one of of("unknown")) lostAt.set(one, now());
      list.note("refused", of("refused"));
      list.note("delivered", of("delivered"));
      for (const one of fingerprints) underWay.delete(one);
      resolve();
      for (const [i, outcome] of outcomes.entries()) counted(outcome, recipients[i]!);
      for (const [i, recipient] of recipients.entries()) {
        if (outcomes[i] === "delivered") options.arrived(recipient, sender);
      }
    };
    return { kind: "deliver", finish };
  };

  const claim = async (message: ArrivedMessage): Promise<Claim> => {
    const all = message.recipients.map((recipient) => ({
      recipient,
      fingerprint: fingerprintOf(message, recipient),
    }));
    const isOpen = ({ fingerprint }: { fingerprint: bigint }) => list.state(fingerprint) === "begun";
    // Between the last look at the list and `begin` nobody else can have come.
    for (let isKnown = true; isKnown; ) {
      const others = all.flatMap(({ fingerprint }) => underWay.get(fingerprint) ?? []);
      const lost = all.filter((one) => isOpen(one) && !underWay.has(one.fingerprint));
      if (others.length === 0 && lost.length === 0) break;
      const settled = lost.map((one) => settle(message, one.recipient, one.fingerprint));
      isKnown = (await Promise.all(settled)).every(Boolean);
      await Promise.all(others);
    }
    const states = all.map(({ fingerprint }) => list.state(fingerprint));
    if (states.every((state) => state === undefined)) {
      return begin(
        message,
        all.map((one) => one.fingerprint),
      );
    }
    const verdicts = states.map((state) => (state === "delivered" ? "delivered" : "later"));
    for (const [i, verdict] of verdicts.entries())
      counted(verdict === "delivered" ? "repeated" : "later", message.recipients[i]!);
    return { kind: "answer", verdicts };
  };

  return { claim };
}

/** Of 64 bits: among as many as the list holds, one message in 10^13 would be taken for another. */
function fingerprintOf({ sender, digest }: ArrivedMessage, recipient: string): bigint {
  return createHash("sha256")
    .update(digest)
    .update(`${sender}\0${recipient.toLowerCase()}`)
    .digest()
    .readBigUInt64LE(0);
}
