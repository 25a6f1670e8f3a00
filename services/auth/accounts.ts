/**
 * Judges a login and makes the account if it is the first. The heart of the SASL auto-account provisioner:
 * server.ts puts it on the wire. A client logs in on IMAP and SMTP at once at first contact, so everything
 * here may run in parallel for one address; the insert in the store decides who was first.
 */
import type { AccountState } from "../../appliance/account-states.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { SignUpMode } from "../../appliance/sign-up-modes.ts";
import { describeError, type Log } from "../lib/log.ts";
import { networkOf } from "../lib/network.ts";
import { createGuessLimits } from "./guess-limits.ts";
import { createHashQueue, type HashQueue, QueueFullError } from "./hash-queue.ts";
import { createPasswordHasher, matchesInvented, type PasswordHasher } from "./password.ts";
import { createRecentLogins } from "./recent-logins.ts";
import {
  type MachineState,
  machineRefusal,
  normaliseAddress,
  type Refusal,
  settingsRefusal,
} from "./rules.ts";
import type { SignUpCount } from "./sign-up.ts";
import type { SignUpLimits } from "./sign-up-limits.ts";
import type { AccountStore } from "./store.ts";

export type Verdict =
  | Readonly<{ kind: "ok"; created: boolean }>
  | Readonly<{ kind: "mismatch" }>
  /** The password is right, but the operator blocked the account. */
  | Readonly<{ kind: "blocked" }>
  | Readonly<{ kind: "refused"; refusal: Refusal }>
  /** Too many wrong passwords: the client should try again later. */
  | Readonly<{ kind: "throttled" }>
  /** Too many logins at once: the client should try again. */
  | Readonly<{ kind: "busy" }>;

export type Login = Readonly<{
  user: string;
  password: string;
  /** The client's IP address; empty when it has none. */
  address: string;
}>;

export type Accounts = Readonly<{
  /**
   * Verifies a login; makes the account when there is none and the rules allow it. "ok" is given only
   * when the account is on disk. @throws Error when the store fails: a temporary failure for the client.
   */
  verify(login: Login): Promise<Verdict>;
  /** Whether mail for this address can be delivered, and somebody may be logged in to it. */
  exists(user: string): boolean;
  /** Whether there is anything of this address: its owner may be blocked, or it may be on its way out. */
  hasMailbox(user: string): boolean;
}>;

export function createAccounts(
  parts: Readonly<{
    config: RelayConfig;
    store: AccountStore;
    /** Who may make an account just now. */
    mode: () => SignUpMode;
    limits: SignUpLimits;
    machineState: () => Promise<MachineState>;
    /** Unix time in seconds. */
    now: () => number;
    log: Log;
    count?: SignUpCount;
    queue?: HashQueue;
    hasher?: PasswordHasher;
    /** A steady clock in milliseconds, for limits. */
    steadyNow?: () => number;
  }>,
): Accounts {
  const { config, store, log, machineState, limits } = parts;
  const steadyNow = parts.steadyNow ?? (() => performance.now());
  const recent = createRecentLogins();
  const guesses = createGuessLimits(steadyNow);
  const queue = parts.queue ?? createHashQueue();
  const hasher = parts.hasher ?? createPasswordHasher();
  const underWay = new Map<string, Promise<Verdict>>();

  type Attempt = Readonly<{
    address: string;
    password: string;
    fingerprint: string;
    /** The client's address, and the network it counts for when passwords are tried. */
    client: string;
    network: string;
  }>;

  const judge = async (attempt: Attempt): Promise<Verdict> => {
    const { address, password } = attempt;
    const known = store.findPassword(address);
    // One that is leaving is as unknown as one of which there is nothing, but its name is not free yet.
    if (store.findState(address) === "leaving") return compare(attempt, undefined);
    if (known !== undefined) return compare(attempt, known);
    const refusal = settingsRefusal(address, password, config, parts.mode());
    if (refusal !== undefined) return refuse(attempt, refusal);
    const shortage = machineRefusal(await machineState(), config.signUp);
    if (shortage !== undefined) return refuse(attempt, shortage);
    const giveBack = limits.take(attempt.client);
    if (giveBack === undefined) return refuse(attempt, "too-many-new-accounts");
    const made = await make(attempt).catch((cause) => {
      giveBack();
      throw cause;
    });
    if (made) return { kind: "ok", created: true };
    giveBack();
    const winner = store.findPassword(address);
    if (winner === undefined) throw new Error("an account was made and deleted while a login for it ran");
    return compare(attempt, winner);
  };

  /** False when somebody else was first. */
  const make = async ({ address, password, fingerprint, network }: Attempt): Promise<boolean> => {
    const hash = await queue.run("create", network, () => hasher.hash(password));
    if (!(await store.create(address, hash, parts.now()))) return false;
    recent.remember(address, hash, fingerprint);
    guesses.welcome(address, network);
    log.info("account created");
    parts.count?.("login", "made");
    return true;
  };

  /** The same limits, the same turn and the same hash as for a wrong password: it looks alike from outside. */
  const refuse = async (attempt: Attempt, refusal: Refusal): Promise<Verdict> => {
    const verdict = await compare(attempt, undefined);
    parts.count?.("login", refusal);
    return verdict.kind === "mismatch" ? { kind: "refused", refusal } : verdict;
  };

  /** Hashes and compares; with nothing stored it only takes as long. */
  const compare = async (attempt: Attempt, stored: string | undefined): Promise<Verdict> => {
    const { address, password, fingerprint, network } = attempt;
    const guess = guesses.admit(address, network);
    if (guess === undefined) return { kind: "throttled" };
    let matches: boolean;
    try {
      matches = await queue.run(guess.familiar ? "familiar" : "known", network, async () => {
        if (stored !== undefined) return await hasher.verify(password, stored);
        await hasher.spend(password);
        return false;
      });
    } catch (cause) {
      guess.untried();
      throw cause;
    }
    if (!matches || stored === undefined) {
      guess.wrong();
      return { kind: "mismatch" };
    }
    guess.right();
    recent.remember(address, hasher.isOutdated(stored) ? await renew(attempt, stored) : stored, fingerprint);
    return { kind: "ok", created: false };
  };

  /**
   * Stores the right password as new ones are, so that refusing a wrong one takes as long as for a name without
   * an account. Gives back what is stored now. No login fails by it: the next one tries again.
   */
  const renew = async ({ address, password, network }: Attempt, stored: string): Promise<string> => {
    try {
      const hash = await queue.run("familiar", network, () => hasher.hash(password));
      return (await store.rehash(address, stored, hash)) ? hash : stored;
    } catch (cause) {
      if (!(cause instanceof QueueFullError))
        log.warn("a password hash was not renewed", { cause: describeError(cause) });
      return stored;
    }
  };

  /**
   * The password is right: an account that an invitation made is from now on its owner's (lost-answer.ts). Nobody is
   * let in before that is on disk: whoever brings the invitation again would get the account from its owner's hands.
   */
  const claim = async (address: string, stored: string): Promise<Verdict> => {
    const ok: Verdict = { kind: "ok", created: false };
    if (!store.isUnused(address) || (await store.noteUsed(address, stored))) return ok;
    // Another login noted it, or a new password was just given to who asked again.
    return store.findPassword(address) === stored ? ok : { kind: "mismatch" };
  };

  /** The last word on a right password: what the operator did while it was compared counts as well. */
  const admit = (address: string, verdict: Verdict): Verdict => {
    if (verdict.kind !== "ok") return verdict;
    switch (store.findState(address)) {
      case "active":
        return verdict;
      case "blocked":
        return { kind: "blocked" };
      default:
        return { kind: "mismatch" };
    }
  };

  const find = (user: string): AccountState | undefined => {
    const normalised = normaliseAddress(user, config.domain);
    return "address" in normalised ? store.findState(normalised.address) : undefined;
  };

  const check = async ({ password, address: client }: Login, address: string): Promise<Verdict> => {
    const fingerprint = recent.fingerprint(address, password);
    const stored = store.findPassword(address);
    // No limit, no turn, no hash: nobody guesses what the relay invented, and what was right stays right.
    if (stored !== undefined && matchesInvented(password, stored)) return await claim(address, stored);
    if (stored !== undefined && recent.matches(address, stored, fingerprint))
      return { kind: "ok", created: false };
    const network = networkOf(client);
    const key = `${fingerprint} ${network}`;
    const same = underWay.get(key);
    if (same !== undefined) return same;
    const verdict = judge({ address, password, fingerprint, client, network })
      .catch((cause): Verdict => {
        if (cause instanceof QueueFullError) return { kind: "busy" };
        throw cause;
      })
      .finally(() => underWay.delete(key));
    underWay.set(key, verdict);
    return verdict;
  };

  return {
    async verify(login) {
      const normalised = normaliseAddress(login.user, config.domain);
      if ("refusal" in normalised) return { kind: "refused", refusal: normalised.refusal };
      return admit(normalised.address, await check(login, normalised.address));
    },
    exists: (user) => find(user) === "active",
    hasMailbox: (user) => find(user) !== undefined,
  };
}
