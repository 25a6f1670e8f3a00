/** Who gets an account by a first login, who gets in, and who does not. */

import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { createAccounts } from "../../../services/auth/accounts.ts";
import { createHashQueue } from "../../../services/auth/hash-queue.ts";
import { home, openStore, plenty, rulesOf, useAccounts, user } from "./running-accounts.ts";

describe("accounts", () => {
  const at = useAccounts();

  it("makes the account at the first login and knows it under any case afterwards", async () => {
    const accounts = at.create();
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
    await at.create().verify({ user, password: "long-password", address: home });
    await at.store.close();
    at.store = openStore(at.path);
    expect(await at.create().verify({ user, password: "long-password", address: home })).toEqual({
      kind: "ok",
      created: false,
    });
    expect(await at.create().verify({ user, password: "other-password", address: home })).toEqual({
      kind: "mismatch",
    });
    const row = new DatabaseSync(at.path, { readOnly: true }).prepare("SELECT * FROM accounts").get();
    expect(row?.created_day).toBe(1_799_971_200);
    expect(JSON.stringify(row)).not.toContain("long-password");
  });

  it("answers the parallel first logins on IMAP and SMTP both with yes, and makes one account", async () => {
    const accounts = at.create();
    const verdicts = await Promise.all(
      Array.from({ length: 10 }, () => accounts.verify({ user, password: "long-password", address: home })),
    );
    for (const verdict of verdicts) expect(verdict.kind).toBe("ok");
    expect(at.store.count()).toBe(1);
  });

  it("lets one of two different passwords win that come at one instant", async () => {
    for (let round = 0; round < 5; round++) {
      const address = `race0000${round}@chat.example.org`;
      const accounts = at.create();
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
      expect((await at.create().verify({ user: address, password: winner, address: home })).kind).toBe("ok");
    }
  });

  it("lets one win also between two processes on one file", async () => {
    const other = openStore(at.path);
    try {
      const first = at.create();
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

  it("refuses new accounts but never old ones when closed, overloaded or out of space", async () => {
    await at.create().verify({ user, password: "long-password", address: home });
    const cases: [string, typeof plenty, string][] = [
      ['[sign_up]\nmode = "closed"\n', plenty, "sign-up-closed"],
      ["", { ...plenty, loadAverage: 6 }, "load-too-high"],
      ["", { ...plenty, availableMemoryBytes: 1e8 }, "memory-too-low"],
      ["", { ...plenty, freeDiskBytes: 1e8 }, "disk-too-full"],
      ["", { ...plenty, freeFiles: 100 }, "disk-too-full"],
      ["[accounts]\nlocal_part_min_length = 10\nlocal_part_max_length = 12\n", plenty, "local-part-length"],
    ];
    for (const [more, state, refusal] of cases) {
      const accounts = at.create(more, { state });
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
    expect(at.store.count()).toBe(1);
  });

  it("turns logins away as busy beyond its limit, and serves again afterwards", async () => {
    const accounts = at.create("", { queue: createHashQueue({ slots: 1, waitingPerLane: 1 }) });
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
      store: "store" in broken ? { ...at.store, create: broken.store } : at.store,
      now: () => 0,
    });
    for (let i = 0; i < 2; i++)
      await expect(accounts.verify({ user, password: "long-password", address: home })).rejects.toThrow(
        message,
      );
    expect(at.store.count()).toBe(0);
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
      await at.create().verify({ user, password: "the-right-password", address: home });
      const accounts = at.create(more, { state });
      /** What a stranger gets to know of a series of tries, and what they cost. */
      const tries = async (name: string, address: string) => {
        at.derived = [];
        const answers: string[] = [];
        for (let i = 0; i < 15; i++) {
          const { kind } = await accounts.verify({ user: name, password: `${word}${i % 10}`, address });
          answers.push(kind === "refused" ? "mismatch" : kind);
        }
        return { answers, derived: at.derived };
      };
      const known = await tries(user, "198.51.100.1");
      const unknown = await tries("nobody123@chat.example.org", "198.51.100.2");
      expect(unknown).toEqual(known);
      expect(known.answers).toEqual([...Array(11).fill("mismatch"), ...Array(4).fill("throttled")]);
      expect(known.derived).toEqual(Array(11).fill(known.derived[0]));
      expect(at.store.count()).toBe(1);
    },
  );

  it("makes so many accounts for a network and no more, and tells nobody there which names exist", async () => {
    const settings = "[sign_up]\nnetwork_burst = 3\nnetwork_per_hour = 1\n";
    const other = "198.51.100.1";
    await at.create().verify({ user, password: "the-right-password", address: other });
    const accounts = at.create(settings);
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
    at.derived = [];
    expect(await signUp("first0004", home)).toEqual({ kind: "refused", refusal: "too-many-new-accounts" });
    expect(await signUp("abc123xyz", home, "wrong-password")).toEqual({ kind: "mismatch" });
    expect(at.derived).toEqual(Array(2).fill(at.derived[0]));
    // Those who have an account are let in from there, and others elsewhere make theirs.
    expect((await signUp("first0003", home)).kind).toBe("ok");
    expect(await signUp("abc123xyz", home, "the-right-password")).toEqual({ kind: "ok", created: false });
    expect(await signUp("first0004", other)).toEqual(ok);
    expect(at.store.count()).toBe(5);
  });

  it("makes so many accounts for all networks together and no more", async () => {
    const accounts = at.create("[sign_up]\nrelay_burst = 3\nrelay_per_hour = 1\n");
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

  it("counts nothing against a network when its account could not be made", async () => {
    const intact = at.store;
    let isBroken = true;
    at.store = {
      ...intact,
      create: (...values) =>
        isBroken ? Promise.reject(new Error("disk I/O error")) : intact.create(...values),
    };
    const accounts = at.create("[sign_up]\nnetwork_burst = 1\nnetwork_per_hour = 1\n");
    at.store = intact;
    const signUp = () => accounts.verify({ user, password: "long-password", address: home });
    for (let i = 0; i < 3; i++) await expect(signUp()).rejects.toThrow("disk I/O error");
    isBroken = false;
    expect(await signUp()).toEqual({ kind: "ok", created: true });
  });
});
