/**
 * Judges a login and makes the account if it is the first. The heart of the SASL auto-account provisioner:
 * server.ts puts it on the wire. A client logs in on IMAP and SMTP at once at first contact, so everything
 * here may run in parallel for one address; the insert in the store decides who was first.
 */
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { Log } from "../lib/log.ts";
import { hashPassword, spendVerification, verifyPassword } from "./password.ts";
import { createRecentLogins } from "./recent-logins.ts";
import {
  type MachineState,
  machineRefusal,
  normaliseAddress,
  type Refusal,
  settingsRefusal,
} from "./rules.ts";
import type { AccountStore } from "./store.ts";

/**
 * Logins that may be hashed or wait for it at once. At 100 ms a hash on a small Pi, the last of them waits
 * under 4 s, well within the 10 s Dovecot gives us; more would only time out there.
 */
const maxPendingLogins = 128;

export type Verdict =
  | Readonly<{ kind: "ok"; created: boolean }>
  | Readonly<{ kind: "mismatch" }>
  | Readonly<{ kind: "refused"; refusal: Refusal }>
  /** Too many logins at once: the client should try again. */
  | Readonly<{ kind: "busy" }>;

export type Accounts = Readonly<{
  /**
   * Verifies a login; makes the account when there is none and the rules allow it. "ok" is given only
   * when the account is on disk. @throws Error when the store fails: a temporary failure for the client.
   */
  verify(user: string, password: string): Promise<Verdict>;
  /** Whether mail for this address can be delivered. */
  exists(user: string): boolean;
}>;

export function createAccounts(
  parts: Readonly<{
    config: RelayConfig;
    store: AccountStore;
    readMachineState: () => Promise<MachineState>;
    /** Unix time in seconds. */
    now: () => number;
    log: Log;
    pendingLimit?: number;
  }>,
): Accounts {
  const { config, store, log } = parts;
  const recent = createRecentLogins();
  const pending = new Map<string, Promise<Verdict>>();

  const judge = async (address: string, password: string, fingerprint: string): Promise<Verdict> => {
    const known = store.findPassword(address);
    if (known !== undefined) return compare(address, password, fingerprint, known);
    const refusal = settingsRefusal(address, password, config);
    if (refusal !== undefined) {
      await spendVerification(password);
      return { kind: "refused", refusal };
    }
    // No equal cost here: on an overloaded machine the refusal must be cheap.
    const shortage = machineRefusal(await parts.readMachineState(), config.signUp);
    if (shortage !== undefined) return { kind: "refused", refusal: shortage };
    const hash = await hashPassword(password);
    if (store.create(address, hash, parts.now())) {
      recent.remember(address, hash, fingerprint);
      log.info("account created");
      return { kind: "ok", created: true };
    }
    const winner = store.findPassword(address);
    if (winner === undefined) throw new Error("an account was made and deleted while a login for it ran");
    return compare(address, password, fingerprint, winner);
  };

  const compare = async (
    address: string,
    password: string,
    fingerprint: string,
    stored: string,
  ): Promise<Verdict> => {
    if (!(await verifyPassword(password, stored))) return { kind: "mismatch" };
    recent.remember(address, stored, fingerprint);
    return { kind: "ok", created: false };
  };

  return {
    async verify(user, password) {
      const normalised = normaliseAddress(user, config.domain);
      if ("refusal" in normalised) return { kind: "refused", refusal: normalised.refusal };
      const { address } = normalised;
      const fingerprint = recent.fingerprint(address, password);
      const stored = store.findPassword(address);
      if (stored !== undefined && recent.matches(address, stored, fingerprint)) {
        return { kind: "ok", created: false };
      }
      const underWay = pending.get(fingerprint);
      if (underWay !== undefined) return underWay;
      if (pending.size >= (parts.pendingLimit ?? maxPendingLogins)) return { kind: "busy" };
      const verdict = judge(address, password, fingerprint).finally(() => pending.delete(fingerprint));
      pending.set(fingerprint, verdict);
      return verdict;
    },
    exists(user) {
      const normalised = normaliseAddress(user, config.domain);
      return "address" in normalised && store.findPassword(normalised.address) !== undefined;
    },
  };
}
