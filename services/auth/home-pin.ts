/**
 * Invitations from the status page at home (services/web/home): whoever reads the PIN on the relay's screen may make one.
 * The PIN is checked here, so that nothing that browsers reach ever knows it. Called by sign-up-server.ts.
 */
import { timingSafeEqual } from "node:crypto";
import type { SignUpMode } from "../../appliance/sign-up-modes.ts";
import type { Log } from "../lib/log.ts";
import { createBuckets } from "./buckets.ts";
import type { InviteList } from "./invites.ts";

/**
 * Wrong PINs that all together may bring at once, and then one in so many milliseconds: of 10^8 PINs a year of guessing
 * finds 1 in 1000, and each start of the relay makes another. Whoever is locked out by a guest can use homing-ctl.
 */
const guesses = { burst: 10, refillMs: 360_000 } as const;

/** It is shown to somebody who stands beside: in seconds. */
const lifetimeSeconds = 86_400;
const note = "from the status page at home";

export type HomeInvitation =
  /** `link` is missing unless an invitation is needed. */
  | Readonly<{ result: "made"; mode: SignUpMode; link?: string }>
  | Readonly<{ result: "refused"; reason: "wrong-pin" | "too-many"; retrySeconds?: number }>;

/** @throws AccountListError when no invitation can be written down. */
export type HomeInvitations = (pin: string) => Promise<HomeInvitation>;

export function createHomeInvitations(
  parts: Readonly<{
    /** Undefined: there is none, and nothing is right. */
    pin: string | undefined;
    domain: string;
    mode: () => SignUpMode;
    invites: Pick<InviteList, "create">;
    /** Unix time in seconds. */
    now: () => number;
    /** In milliseconds. */
    steadyNow: () => number;
    log: Log;
  }>,
): HomeInvitations {
  const { pin, domain, mode, invites, now, steadyNow, log } = parts;
  const wrong = createBuckets({ ...guesses, limit: 1 });
  const name = "everybody";
  return async (guess) => {
    const waitMs = wrong.wait(name, steadyNow());
    if (waitMs > 0) return { result: "refused", reason: "too-many", retrySeconds: Math.ceil(waitMs / 1000) };
    if (pin === undefined || !isSame(guess.replace(/\s/g, ""), pin)) {
      wrong.take(name, steadyNow());
      log.warn("a wrong PIN on the status page at home");
      return { result: "refused", reason: "wrong-pin" };
    }
    const current = mode();
    if (current !== "invite") return { result: "made", mode: current };
    const expires = Math.floor(now()) + lifetimeSeconds;
    const made = await invites.create({ uses: 1, expires, note }, now());
    if (made === undefined) return { result: "refused", reason: "too-many" };
    log.info("an invitation was made on the status page at home", { id: made.id });
    return { result: "made", mode: current, link: `https://${domain}/i/${made.token}` };
  };
}

function isSame(guess: string, pin: string): boolean {
  const [a, b] = [Buffer.from(guess), Buffer.from(pin)];
  return a.length === b.length && timingSafeEqual(a, b);
}
