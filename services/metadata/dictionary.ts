/**
 * Answers what the keys of the dict hold and turns writes into changes of the store. Called by session.ts,
 * knows nothing of the wire.
 */
import type { RelayConfig } from "../../appliance/relay-config.ts";
import { keysBelow, parseKey } from "./keys.ts";
import type { Change, MetadataStore } from "./store.ts";

/** Clients send at most this many characters (encrypted tokens are some 700). */
const maxTokenLength = 4096;

/** A write that is not allowed; the text goes to Dovecot's log. */
export class RefusedWriteError extends Error {
  override name = "RefusedWriteError";
}

export type Row = Readonly<{ key: string; value: string }>;

export type Dictionary = Readonly<{
  /** The value of a key, undefined when it has none. */
  lookup(key: string, user: string): string | undefined;
  /** Keys with values whose name begins with `path`; without `recurse` none that has a `/` after it. */
  iterate(path: string, user: string, options: Readonly<{ recurse: boolean; exactKey: boolean }>): Row[];
  /**
   * What setting a key (`value` undefined: removing it) will change, undefined for nothing.
   * @throws RefusedWriteError
   */
  change(key: string, value: string | undefined, user: string): Change | undefined;
  /** Makes the changes of one transaction, all or none. @throws Error of SQLite */
  apply(changes: readonly Change[]): void;
}>;

export function createDictionary(
  parts: Readonly<{
    config: RelayConfig;
    store: MetadataStore;
    /** What an account's clients are told of the TURN server, if anything. */
    turn: (account: string) => string | undefined;
    /** Unix time in seconds. */
    now: () => number;
  }>,
): Dictionary {
  const { config, store, now } = parts;
  const serverValues = new Map<string, (user: string) => string | undefined>([
    ["maxsmtprecipients", () => String(config.messages.maxRecipients)],
    ["turn", parts.turn],
    // The core wants a URL, and JSON: whoever is not told has no value at all.
    ["irohrelay", () => config.clients.irohRelayUrl || undefined],
    ["appversions", () => config.clients.appVersions || undefined],
  ]);

  const lookup = (key: string, user: string): string | undefined => {
    const parsed = parseKey(key);
    switch (parsed.kind) {
      case "server":
        return serverValues.get(parsed.name)?.(user);
      case "device-token": {
        const tokens = store.tokens(user, parsed.mailbox);
        return tokens.length === 0 ? undefined : tokens.join(" ");
      }
      case "last-login":
        return store.lastLogin(parsed.user)?.toString();
      case "logins-since":
        return store.loginsSince().toString();
      case "unknown":
        return undefined;
    }
  };

  return {
    lookup,
    iterate(path, user, { recurse, exactKey }) {
      return keysBelow(path, [...serverValues.keys()])
        .filter((key) => (exactKey ? key === path : recurse || !key.slice(path.length).includes("/")))
        .flatMap((key) => {
          const value = lookup(key, user);
          return value === undefined ? [] : [{ key, value }];
        });
    },
    change(key, value, user) {
      const parsed = parseKey(key);
      if (parsed.kind === "device-token") {
        if (user === "") throw new RefusedWriteError("a device token needs a user");
        if (value === undefined) {
          return { kind: "forget-tokens", address: user, mailbox: parsed.mailbox };
        }
        if (!config.push.enabled) throw new RefusedWriteError("push notifications are switched off here");
        if (value.length > maxTokenLength || !/^[\x21-\x7e]+$/.test(value)) {
          throw new RefusedWriteError(`a device token is up to ${maxTokenLength} printable ASCII characters`);
        }
        return { kind: "add-token", address: user, mailbox: parsed.mailbox, token: value };
      }
      if (parsed.kind === "last-login" && value !== undefined) {
        // Twelve digits reach beyond the year 30000 and stay exact.
        if (!/^\d{1,12}$/.test(value)) throw new RefusedWriteError("a login's time is Unix seconds");
        return { kind: "login", address: parsed.user, time: Number(value) };
      }
      // services/reaper, when it deletes an account. Dovecot never does.
      if (parsed.kind === "last-login") return { kind: "forget-account", address: parsed.user };
      // There is never anything to remove; Dovecot does it for every mailbox that is deleted.
      if (parsed.kind === "unknown" && value === undefined) return undefined;
      throw new RefusedWriteError("this metadata cannot be set here");
    },
    apply: (changes) => store.apply(changes, now()),
  };
}
