/**
 * Which rules go with which Postfix daemon (milter_macro_daemon_name in its configuration, appliance/files/).
 * Called by service.ts, and by tests with a clock and a resolver of their own.
 */
import type { SigningKey } from "./dkim-sign.ts";
import { beginIncoming } from "./incoming.ts";
import { createKeyLookup, type TxtResolver } from "./key-lookup.ts";
import { beginBounce, beginOutgoing } from "./outgoing.ts";
import type { RateLimit } from "./rate-limit.ts";
import type { BeginMessage } from "./session.ts";

export type RulesOptions = Readonly<{
  /** The one that signs now. */
  key(): SigningKey;
  /** For what accounts submit. */
  rateLimit: RateLimit;
  resolveTxt: TxtResolver;
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  /** Now in milliseconds since 1970; the system's clock unless given. */
  date?(): number;
}>;

export function createRules({
  key,
  rateLimit,
  resolveTxt,
  now,
  date = Date.now,
}: RulesOptions): ReadonlyMap<string, BeginMessage> {
  const incoming = { lookUpKey: createKeyLookup({ resolveTxt, now }), date };
  const outgoing: BeginMessage = ({ sender, login }) =>
    beginOutgoing(sender, login, { key: key(), rateLimit, now });
  return new Map<string, BeginMessage>([
    ["mx", ({ sender, clientAddress }) => beginIncoming(sender, clientAddress, incoming)],
    ["submission", outgoing],
    ["smtps", outgoing],
    ["bounce", () => beginBounce(key())],
  ]);
}
