import { scryptSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { type Accounts, createAccounts } from "../../../services/auth/accounts.ts";
import { createHashQueue, type HashQueue } from "../../../services/auth/hash-queue.ts";
import {
  createPasswordHasher,
  deriveInPool,
  hashInvented,
  type Parameters,
} from "../../../services/auth/password.ts";
import { createSignUpLimits } from "../../../services/auth/sign-up-limits.ts";
import { type AccountStore, openAccountStore } from "../../../services/auth/store.ts";
import { createLog } from "../../../services/lib/log.ts";

const user = "abc123xyz@chat.example.org";
const plenty = {
  loadAverage: 0,
  availableMemoryBytes: 1e9,
  freeDiskBytes: 1e10,
  diskBytes: 2e10,
  freeFiles: 1e6,
};
const silent = createLog(() => {});
const writerProgram = new URL("../../../services/auth/store-writer.ts", import.meta.url);
/** What createAccounts needs of the settings `more`. */
const rulesOf = (more: string, machineState: () => Promise<typeof plenty> = async () => plenty) => {
  const config = parseRelayConfig(`domain = "chat.example.org"\n${more}`, "relay.toml");
  const limits = createSignUpLimits(config.signUp, () => performance.now());
  return { config, mode: () => config.signUp.mode, limits, machineState, log: silent };
};
const openStore = (path: string): AccountStore => openAccountStore({ path, writerProgram, log: silent });
const home = "192.0.2.1";
/** What earlier versions stored for "long-password": scrypt, which takes another time than today's hashes. */
const outdated = `$scrypt$ln=10,r=8,p=1$${unpadded("SodiumChlorideSa")}$${unpadded(
  scryptSync("long-password", "SodiumChlorideSa", 32, { N: 1024, r: 8, p: 1 }),
)}`;

describe("accounts", () => {
  let folder: string;
  let path: string;
  let store: AccountStore;
  /** What was hashed, in order: kind and cost of every derivation. */
  let derived: Parameters[];

  const create = (more = "", options: { state?: typeof plenty; queue?: HashQueue } = {}): Accounts =>
    createAccounts({
      ...rulesOf(more, async () => options.state ?? plenty),
      store,
      now: () => 1_800_000_000,
      hasher: createPasswordHasher((password, salt, length, parameters) => {
        derived.push(parameters);
        return deriveInPool(password, salt, length, parameters);
      }),
      ...(options.queue === undefined ? {} : { queue: options.queue }),
    });

  beforeEach(async () => {
    derived = [];
    folder = await mkdtemp(join(tmpdir(), "homing-accounts-"));
    path = join(folder, "accounts.sqlite");
    store = openStore(path);
  });
  afterEach(async () => {
    await store.close();
    await rm(folder, { recursive: true });
  });

  it("makes the account at the first login and knows it under any case afterwards", async () => {
    const accounts = create();
    expect(accounts.exists(user)).toBe(false);
    expect(
      await accounts.verify({ user: "ABC123xyz@chat.example.org", password: "long-password", address: home }),
    ).toEqual({
      kind: "ok",
      created: true,
    });
    expect(await accounts.verify({ user, password: "long-password", address: home })).toEqual({
      kind: "ok",
      created: false,
    });
    expect(await accounts.verify({ user, password: "wrong-password", address: home })).toEqual({
      kind: "mismatch",
    });
    expect(await accounts.verify({ user, password: "", address: home })).toEqual({ kind: "mismatch" });
    expect(accounts.exists("Abc123XYZ@CHAT.example.org")).toBe(true);
    expect(accounts.exists("abc123xyz")).toBe(false);
  });

  it("keeps accounts over a restart, with the day of creation only", async () => {
    await create().verify({ user, password: "long-password", address: home });
    await store.close();
    store = openStore(path);
    expect(await create().verify({ user, password: "long-password", address: home })).toEqual({
      kind: "ok",
      created: false,
    });
    expect(await create().verify({ user, password: "other-password", address: home })).toEqual({
      kind: "mismatch",
    });
    const row = new DatabaseSync(path, { readOnly: true }).prepare("SELECT * FROM accounts").get();
    expect(row?.created_day).toBe(1_799_971_200);
    expect(JSON.stringify(row)).not.toContain("long-password");
  });

  it("answers the parallel first logins on IMAP and SMTP both with yes, and makes one account", async () => {
    const accounts = create();
    const verdicts = await Promise.all(
      Array.from({ length: 10 }, () => accounts.verify({ user, password: "long-password", address: home })),
    );
    for (const verdict of verdicts) expect(verdict.kind).toBe("ok");
    expect(store.count()).toBe(1);
  });

  it("lets one of two different passwords win that come at one instant", async () => {
    for (let round = 0; round < 5; round++) {
      const address = `race0000${round}@chat.example.org`;
      const accounts = create();
      const verdicts = await Promise.all(
        ["password-a", "password-b", "password-c"].map((password) =>
          accounts.verify({ user: address, password, address: home }),
        ),
      );
      const winners = verdicts.filter((verdict) => verdict.kind === "ok");
      expect(winners).toEqual([{ kind: "ok", created: true }]);
      expect(verdicts.filter((verdict) => verdict.kind === "mismatch")).toHaveLength(2);
      const winner = ["password-a", "password-b", "password-c"][
        verdicts.findIndex(({ kind }) => kind === "ok")
      ]!;
      expect((await create().verify({ user: address, password: winner, address: home })).kind).toBe("ok");
    }
  });

  it("lets one win also between two processes on one file", async () => {
    const other = openStore(path);
    try {
      const first = create();
      const second = createAccounts({
        ...rulesOf(""),
        store: other,
        now: () => 0,
      });
      const verdicts = await Promise.all([
        first.verify({ user, password: "password-a", address: home }),
        second.verify({ user, password: "password-b", address: home }),
      ]);
      expect(verdicts.map(({ kind }) => kind).sort()).toEqual(["mismatch", "ok"]);
    } finally {
      await other.close();
    }
  });

  it("answers a repeated right password from memory, and forgets a deleted or changed account at once", async () => {
    const accounts = create();
    await accounts.verify({ user, password: "long-password", address: home });
    expect(derived).toHaveLength(1);
    for (let i = 0; i < 100; i++)
      expect((await accounts.verify({ user, password: "long-password", address: home })).kind).toBe("ok");
    expect(derived).toHaveLength(1);
    // A wrong one for an account that is remembered costs the full hash, each time.
    for (let i = 0; i < 5; i++)
      expect(await accounts.verify({ user, password: "wrong-password", address: home })).toEqual({
        kind: "mismatch",
      });
    expect(derived).toEqual(Array(6).fill(derived[0]));

    const editor = new DatabaseSync(path);
    editor.exec("DELETE FROM accounts");
    editor.close();
    expect(accounts.exists(user)).toBe(false);
    expect(await accounts.verify({ user, password: "new-password", address: home })).toEqual({
      kind: "ok",
      created: true,
    });
    expect(await accounts.verify({ user, password: "long-password", address: home })).toEqual({
      kind: "mismatch",
    });
  });

  it("refuses new accounts but never old ones when closed, overloaded or out of space", async () => {
    await create().verify({ user, password: "long-password", address: home });
    const cases: [string, typeof plenty, string][] = [
      ['[sign_up]\nmode = "closed"\n', plenty, "sign-up-closed"],
      ["", { ...plenty, loadAverage: 6 }, "load-too-high"],
      ["", { ...plenty, availableMemoryBytes: 1e8 }, "memory-too-low"],
      ["", { ...plenty, freeDiskBytes: 1e8 }, "disk-too-full"],
      ["", { ...plenty, freeFiles: 100 }, "disk-too-full"],
      ["[accounts]\nlocal_part_min_length = 10\nlocal_part_max_length = 12\n", plenty, "local-part-length"],
    ];
    for (const [more, state, refusal] of cases) {
      const accounts = create(more, { state });
      expect(
        await accounts.verify({
          user: "new123xyz@chat.example.org",
          password: "long-password",
          address: home,
        }),
      ).toEqual({
        kind: "refused",
        refusal,
      });
      expect(await accounts.verify({ user, password: "long-password", address: home })).toEqual({
        kind: "ok",
        created: false,
      });
    }
    expect(store.count()).toBe(1);
  });

  it("turns logins away as busy beyond its limit, and serves again afterwards", async () => {
    const accounts = create("", { queue: createHashQueue({ slots: 1, waitingPerLane: 1 }) });
    const verdicts = await Promise.all(
      ["aaa", "bbb", "ccc"].map((end) =>
        accounts.verify({ user: `abc123${end}@chat.example.org`, password: "long-password", address: home }),
      ),
    );
    expect(verdicts.map(({ kind }) => kind)).toEqual(["ok", "ok", "busy"]);
    expect(
      (
        await accounts.verify({
          user: "abc123ccc@chat.example.org",
          password: "long-password",
          address: home,
        })
      ).kind,
    ).toBe("ok");
  });

  it.each([
    ["the probes fail", { probes: () => Promise.reject(new Error("no /proc")) }, "no /proc"],
    ["the store fails", { store: () => Promise.reject(new Error("disk I/O error")) }, "disk I/O error"],
  ])("fails a login, and makes nothing, when %s", async (_what, broken, message) => {
    const accounts = createAccounts({
      ...rulesOf("", "probes" in broken ? broken.probes : undefined),
      store: "store" in broken ? { ...store, create: broken.store } : store,
      now: () => 0,
    });
    for (let i = 0; i < 2; i++)
      await expect(accounts.verify({ user, password: "long-password", address: home })).rejects.toThrow(
        message,
      );
    expect(store.count()).toBe(0);
  });

  it.each<[string, string, typeof plenty, string]>([
    ["sign-up is closed", '[sign_up]\nmode = "closed"\n', plenty, "long-password"],
    ["the password is too short", "", plenty, "short"],
    ["the load is too high", "", { ...plenty, loadAverage: 6 }, "long-password"],
    ["the memory is too low", "", { ...plenty, availableMemoryBytes: 1e8 }, "long-password"],
    ["the disk is too full", "", { ...plenty, freeDiskBytes: 1e8 }, "long-password"],
    ["the disk can hold few files", "", { ...plenty, freeFiles: 100 }, "long-password"],
  ])(
    "does for a name without an account what it does for a wrong password when %s",
    async (_what, more, state, word) => {
      await create().verify({ user, password: "the-right-password", address: home });
      const accounts = create(more, { state });
      /** What a stranger gets to know of a series of tries, and what they cost. */
      const tries = async (name: string, address: string) => {
        derived = [];
        const answers: string[] = [];
        for (let i = 0; i < 15; i++) {
          const { kind } = await accounts.verify({ user: name, password: `${word}${i % 10}`, address });
          answers.push(kind === "refused" ? "mismatch" : kind);
        }
        return { answers, derived };
      };
      const known = await tries(user, "198.51.100.1");
      const unknown = await tries("nobody123@chat.example.org", "198.51.100.2");
      expect(unknown).toEqual(known);
      expect(known.answers).toEqual([...Array(11).fill("mismatch"), ...Array(4).fill("throttled")]);
      expect(known.derived).toEqual(Array(11).fill(known.derived[0]));
      expect(store.count()).toBe(1);
    },
  );

  it("makes so many accounts for a network and no more, and tells nobody there which names exist", async () => {
    const settings = "[sign_up]\nnetwork_burst = 3\nnetwork_per_hour = 1\n";
    const other = "198.51.100.1";
    await create().verify({ user, password: "the-right-password", address: other });
    const accounts = create(settings);
    const signUp = (name: string, address: string, password = "long-password") =>
      accounts.verify({ user: `${name}@chat.example.org`, password, address });
    const ok = { kind: "ok", created: true };
    // Together and twice, as clients do: IMAP and SMTP count once, and who loses a name keeps his share.
    const races = await Promise.all([
      signUp("first0001", home),
      signUp("first0001", home),
      signUp("first0002", home, "password-a"),
      signUp("first0002", home, "password-b"),
    ]);
    expect(races.map(({ kind }) => kind).sort()).toEqual(["mismatch", "ok", "ok", "ok"]);
    expect(await signUp("first0003", home)).toEqual(ok);
    derived = [];
    expect(await signUp("first0004", home)).toEqual({ kind: "refused", refusal: "too-many-new-accounts" });
    expect(await signUp("abc123xyz", home, "wrong-password")).toEqual({ kind: "mismatch" });
    expect(derived).toEqual(Array(2).fill(derived[0]));
    // Those who have an account are let in from there, and others elsewhere make theirs.
    expect((await signUp("first0003", home)).kind).toBe("ok");
    expect(await signUp("abc123xyz", home, "the-right-password")).toEqual({ kind: "ok", created: false });
    expect(await signUp("first0004", other)).toEqual(ok);
    expect(store.count()).toBe(5);
  });

  it("makes so many accounts for all networks together and no more", async () => {
    const accounts = create("[sign_up]\nrelay_burst = 3\nrelay_per_hour = 1\n");
    const kinds: string[] = [];
    for (let i = 0; i < 5; i++) {
      const name = `first000${i}@chat.example.org`;
      const { kind } = await accounts.verify({
        user: name,
        password: "long-password",
        address: `192.0.2.${i}`,
      });
      kinds.push(kind);
    }
    expect(kinds).toEqual(["ok", "ok", "ok", "refused", "refused"]);
  });

  it("lets in with the password that the relay invented at any time, without hashing", async () => {
    await store.create(user, hashInvented("the-invented-password"), 0);
    const accounts = create();
    for (let i = 0; i < 20; i++)
      await accounts.verify({ user, password: `wrong-password${i}`, address: home });
    expect((await accounts.verify({ user, password: "wrong-again", address: home })).kind).toBe("throttled");
    derived = [];
    expect(await accounts.verify({ user, password: "the-invented-password", address: home })).toEqual({
      kind: "ok",
      created: false,
    });
    expect(derived).toEqual([]);
    expect(store.findPassword(user)).toMatch(/^\$hmac-sha256\$/);
  });

  it("refuses a wrong password in the same time whoever chose the right one", async () => {
    await store.create(user, hashInvented("the-invented-password"), 0);
    const accounts = create();
    await accounts.verify({ user: "chosen123@chat.example.org", password: "chosen-password", address: home });
    const costs: Parameters[][] = [];
    for (const name of [user, "chosen123@chat.example.org"]) {
      derived = [];
      await accounts.verify({ user: name, password: "wrong-password", address: "198.51.100.1" });
      costs.push(derived);
    }
    expect(costs[0]).toHaveLength(1);
    expect(costs[1]).toEqual(costs[0]);
  });

  it("counts nothing against a network when its account could not be made", async () => {
    const intact = store;
    let isBroken = true;
    store = {
      ...intact,
      create: (...values) =>
        isBroken ? Promise.reject(new Error("disk I/O error")) : intact.create(...values),
    };
    const accounts = create("[sign_up]\nnetwork_burst = 1\nnetwork_per_hour = 1\n");
    store = intact;
    const signUp = () => accounts.verify({ user, password: "long-password", address: home });
    for (let i = 0; i < 3; i++) await expect(signUp()).rejects.toThrow("disk I/O error");
    isBroken = false;
    expect(await signUp()).toEqual({ kind: "ok", created: true });
  });

  it("stores a hash of an earlier version anew at the next right login, at no other", async () => {
    await store.create(user, outdated, 0);
    const accounts = create();
    expect((await accounts.verify({ user, password: "wrong-password", address: home })).kind).toBe(
      "mismatch",
    );
    expect(store.findPassword(user)).toBe(outdated);
    expect(await accounts.verify({ user, password: "long-password", address: home })).toEqual({
      kind: "ok",
      created: false,
    });
    const renewed = store.findPassword(user);
    expect(renewed).toMatch(/^\$argon2id\$/);
    expect(derived.map(({ kind }) => kind)).toEqual(["scrypt", "scrypt", "argon2id"]);
    // From memory now, and from the list after a restart; a wrong password costs what it costs for anybody.
    expect((await accounts.verify({ user, password: "long-password", address: home })).kind).toBe("ok");
    expect(derived).toHaveLength(3);
    expect((await create().verify({ user, password: "long-password", address: home })).kind).toBe("ok");
    expect((await create().verify({ user, password: "wrong-password", address: home })).kind).toBe(
      "mismatch",
    );
    expect(derived.slice(3).map(({ kind }) => kind)).toEqual(["argon2id", "argon2id"]);
    expect(store.findPassword(user)).toBe(renewed);
  });

  it("lets somebody in whose hash cannot be stored anew", async () => {
    await store.create(user, outdated, 0);
    const rehash = () => Promise.reject(new Error("disk I/O error"));
    const intact = store;
    store = { ...intact, rehash };
    const accounts = create();
    store = intact;
    for (let i = 0; i < 2; i++)
      expect((await accounts.verify({ user, password: "long-password", address: home })).kind).toBe("ok");
    expect(store.findPassword(user)).toBe(outdated);
  });
});

function unpadded(bytes: string | Uint8Array): string {
  return Buffer.from(bytes as Uint8Array)
    .toString("base64")
    .replaceAll("=", "");
}
