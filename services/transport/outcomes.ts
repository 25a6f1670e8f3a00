/**
 * What became of a message for each of its recipients, where that differs: SMTP has one answer for all of them, so Postfix
 * hears it when it offers the message again, a moment later or at its next attempt. Pure but for the hash. Called by
 * courier.ts.
 */
import { createHash } from "node:crypto";
import type { SmtpReply } from "../lib/smtp-client.ts";
import type { Body } from "./body.ts";

/** Senders with recipients, and deliveries: some 300 bytes each. The oldest makes room. */
const MAX_OUTCOMES = 2000;
/** For a sender and a recipient: as many messages as Postfix has processes (postfix-master.ts). */
const MAX_REPLIES = 100;

/** When a refusal is to be told: at the second offer of the same attempt, or at Postfix's next attempt. */
export type Telling = "second offer" | "next attempt";

/**
 * Milliseconds for which a refusal is kept: the second offer follows the first at once, the next attempt within the
 * longest pause (maximal_backoff_time, postfix-main.ts) and a run of the queue. Who did not come until then does not come
 * any more, and what was true of an address then may not be true of the next message.
 */
const KEPT_MS: Readonly<Record<Telling, number>> = { "second offer": 120_000, "next attempt": 40 * 60_000 };

/** By the words of a message, if it is here whole. */
export function contentOf(sender: string, body: Body): string | undefined {
  if (!body.isWhole) return undefined;
  const hash = createHash("sha256").update(`${sender}\0`);
  for (const chunk of body.chunks) hash.update(chunk);
  return hash.digest("base64");
}

type Refusal = Readonly<{ reply: SmtpReply; until: number }>;

/** @param now milliseconds of a clock that never goes back. */
export function createOutcomes(now: () => number) {
  /** In the order in which they were given: several messages may wait to hear the same of one recipient. */
  const refusals = new Map<string, Refusal[]>();
  const delivered = new Set<string>();
  const keyOf = (first: string, recipient: string) => `${first}\0${recipient}`;
  const limit = (kept: Map<string, unknown> | Set<string>) => {
    if (kept.size > MAX_OUTCOMES) kept.delete(kept.keys().next().value!);
  };
  return {
    /** A relay may refuse one sender and take another's mail, so both count. */
    refused: (when: Telling, sender: string, recipient: string, reply: SmtpReply) => {
      const key = keyOf(`${when}\0${sender}`, recipient);
      const waiting = refusals.get(key) ?? [];
      refusals.delete(key);
      refusals.set(key, [...waiting.slice(1 - MAX_REPLIES), { reply, until: now() + KEPT_MS[when] }]);
      limit(refusals);
    },
    /** Each is told once: the next message of this sender to the same address asks anew. */
    takeRefusal: (when: Telling, sender: string, recipient: string): SmtpReply | undefined => {
      const key = keyOf(`${when}\0${sender}`, recipient);
      const [first, ...others] = (refusals.get(key) ?? []).filter(({ until }) => now() < until);
      if (others.length > 0) refusals.set(key, others);
      else refusals.delete(key);
      return first?.reply;
    },
    /** Never too old: the same words of the same sender are the same message. */
    delivered: (content: string, recipient: string) => {
      delivered.add(keyOf(content, recipient));
      limit(delivered);
    },
    isDelivered: (content: string, recipient: string) => delivered.has(keyOf(content, recipient)),
  };
}
