/** A real account list in a folder of its own, and the judge of logins on it. Used by accounts*.test.ts. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { type Accounts, createAccounts } from "../../../services/auth/accounts.ts";
import type { HashQueue } from "../../../services/auth/hash-queue.ts";
import { createPasswordHasher, deriveInPool, type Parameters } from "../../../services/auth/password.ts";
import { createSignUpLimits } from "../../../services/auth/sign-up-limits.ts";
import { type AccountStore, openAccountStore } from "../../../services/auth/store.ts";
import { createLog } from "../../../services/lib/log.ts";

export const user = "abc123xyz@chat.example.org";
export const home = "192.0.2.1";
export const plenty = {
  loadAverage: 0,
  availableMemoryBytes: 1e9,
  freeDiskBytes: 1e10,
  diskBytes: 2e10,
  freeFiles: 1e6,
};
const silent = createLog(() => {});
const writerProgram = new URL("../../../services/auth/store-writer.ts", import.meta.url);

/** What createAccounts needs of the settings `more`. */
export const rulesOf = (more: string, machineState: () => Promise<typeof plenty> = async () => plenty) => {
  const config = parseRelayConfig(`domain = "chat.example.org"\n${more}`, "relay.toml");
  const limits = createSignUpLimits(config.signUp, () => performance.now());
  return { config, mode: () => config.signUp.mode, limits, machineState, log: silent };
};

export const openStore = (path: string): AccountStore =>
  openAccountStore({ path, writerProgram, log: silent });

export type AccountsPlace = {
  path: string;
  /** What `create` gives the judge; a test may put another in its place. */
  store: AccountStore;
  /** What was hashed, in order: kind and cost of every derivation. */
  derived: Parameters[];
  create(more?: string, options?: { state?: typeof plenty; queue?: HashQueue }): Accounts;
};

/** A new one for each test of the describe block that calls it. */
export function useAccounts(): AccountsPlace {
  let folder: string;
  const at = {
    derived: [],
    create: (more = "", options = {}) =>
      createAccounts({
        ...rulesOf(more, async () => options.state ?? plenty),
        store: at.store,
        now: () => 1_800_000_000,
        hasher: createPasswordHasher((password, salt, length, parameters) => {
          at.derived.push(parameters);
          return deriveInPool(password, salt, length, parameters);
        }),
        ...(options.queue === undefined ? {} : { queue: options.queue }),
      }),
  } as Pick<AccountsPlace, "derived" | "create"> as AccountsPlace;
  beforeEach(async () => {
    at.derived = [];
    folder = await mkdtemp(join(tmpdir(), "homing-accounts-"));
    at.path = join(folder, "accounts.sqlite");
    at.store = openStore(at.path);
  });
  afterEach(async () => {
    await at.store.close();
    await rm(folder, { recursive: true });
  });
  return at;
}
