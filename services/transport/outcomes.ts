/**
 * What became of a message for each of its recipients, where that differs: SMTP has one answer for all of them, so Postfix
 * hears it when it offers the message again, a moment later. Pure but for the hash. Called by courier.ts.
 */
import { createHash } from "node:crypto";
import type { SmtpReply } from "../lib/smtp-client.ts";
import type { Body } from "./body.ts";

/** A refusal or a delivery is some 300 bytes here. The oldest makes room. */
const MAX_OUTCOMES = 2000;

/** By the words of a message, if it is here whole. */
export function contentOf(sender: string, body: Body): string | undefined {
  if (!body.isWhole) return undefined;
  const hash = createHash("sha256").update(`${sender}\0`);
  for (const chunk of body.chunks) hash.update(chunk);
  return hash.digest("base64");
}

export function createOutcomes() {
  const refusals = new Map<string, SmtpReply>();
  const delivered = new Set<string>();
  const keyOf = (first: string, recipient: string) => `${first}\0${recipient}`;
  const limit = (kept: Map<string, unknown> | Set<string>) => {
    if (kept.size > MAX_OUTCOMES) kept.delete(kept.keys().next().value!);
  };
  return {
    /** A relay may refuse one sender and take another's mail, so both count. */
    refused: (sender: string, recipient: string, reply: SmtpReply) => {
      refusals.set(keyOf(sender, recipient), reply);
      limit(refusals);
    },
    /** Told once: the next message of this sender to the same address asks anew. */
    takeRefusal: (sender: string, recipient: string): SmtpReply | undefined => {
      const key = keyOf(sender, recipient);
      const reply = refusals.get(key);
      refusals.delete(key);
      return reply;
    },
    delivered: (content: string, recipient: string) => {
      delivered.add(keyOf(content, recipient));
      limit(delivered);
    },
    isDelivered: (content: string, recipient: string) => delivered.has(keyOf(content, recipient)),
  };
}
