/** What a login costs and remembers: hashes of every age, and passwords that were right a moment ago. */
import { scryptSync } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { hashInvented, type Parameters } from "../../../services/auth/password.ts";
import { home, useAccounts, user } from "./running-accounts.ts";

/** What earlier versions stored for "long-password": scrypt, which takes another time than today's hashes. */
const outdated = `$scrypt$ln=10,r=8,p=1$${unpadded("SodiumChlorideSa")}$${unpadded(
  scryptSync("long-password", "SodiumChlorideSa", 32, { N: 1024, r: 8, p: 1 }),
)}`;

describe("passwords", () => {
  const at = useAccounts();

  it("answers a repeated right password from memory, and forgets a deleted or changed account at once", async () => {
    const accounts = at.create();
    await accounts.verify({ user, password: "long-password", address: home });
    expect(at.derived).toHaveLength(1);
    for (let i = 0; i < 100; i++)
      expect((await accounts.verify({ user, password: "long-password", address: home })).kind).toBe("ok");
    expect(at.derived).toHaveLength(1);
    // A wrong one for an account that is remembered costs the full hash, each time.
    for (let i = 0; i < 5; i++)
      expect(await accounts.verify({ user, password: "wrong-password", address: home })).toEqual({
        kind: "mismatch",
      });
    expect(at.derived).toEqual(Array(6).fill(at.derived[0]));

    const editor = new DatabaseSync(at.path);
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

  it("lets in with the password that the relay invented at any time, without hashing", async () => {
    await at.store.create(user, hashInvented("the-invented-password"), 0);
    const accounts = at.create();
    for (let i = 0; i < 20; i++)
      await accounts.verify({ user, password: `wrong-password${i}`, address: home });
    expect((await accounts.verify({ user, password: "wrong-again", address: home })).kind).toBe("throttled");
    at.derived = [];
    expect(await accounts.verify({ user, password: "the-invented-password", address: home })).toEqual({
      kind: "ok",
      created: false,
    });
    expect(at.derived).toEqual([]);
    expect(at.store.findPassword(user)).toMatch(/^\$hmac-sha256\$/);
  });

  it("refuses a wrong password in the same time whoever chose the right one", async () => {
    await at.store.create(user, hashInvented("the-invented-password"), 0);
    const accounts = at.create();
    await accounts.verify({ user: "chosen123@chat.example.org", password: "chosen-password", address: home });
    const costs: Parameters[][] = [];
    for (const name of [user, "chosen123@chat.example.org"]) {
      at.derived = [];
      await accounts.verify({ user: name, password: "wrong-password", address: "198.51.100.1" });
      costs.push(at.derived);
    }
    expect(costs[0]).toHaveLength(1);
    expect(costs[1]).toEqual(costs[0]);
  });

  it("stores a hash of an earlier version anew at the next right login, at no other", async () => {
    await at.store.create(user, outdated, 0);
    const accounts = at.create();
    expect((await accounts.verify({ user, password: "wrong-password", address: home })).kind).toBe(
      "mismatch",
    );
    expect(at.store.findPassword(user)).toBe(outdated);
    expect(await accounts.verify({ user, password: "long-password", address: home })).toEqual({
      kind: "ok",
      created: false,
    });
    const renewed = at.store.findPassword(user);
    expect(renewed).toMatch(/^\$argon2id\$/);
    expect(at.derived.map(({ kind }) => kind)).toEqual(["scrypt", "scrypt", "argon2id"]);
    // From memory now, and from the list after a restart; a wrong password costs what it costs for anybody.
    expect((await accounts.verify({ user, password: "long-password", address: home })).kind).toBe("ok");
    expect(at.derived).toHaveLength(3);
    expect((await at.create().verify({ user, password: "long-password", address: home })).kind).toBe("ok");
    expect((await at.create().verify({ user, password: "wrong-password", address: home })).kind).toBe(
      "mismatch",
    );
    expect(at.derived.slice(3).map(({ kind }) => kind)).toEqual(["argon2id", "argon2id"]);
    expect(at.store.findPassword(user)).toBe(renewed);
  });

  it("lets somebody in whose hash cannot be stored anew", async () => {
    await at.store.create(user, outdated, 0);
    const rehash = () => Promise.reject(new Error("disk I/O error"));
    const intact = at.store;
    at.store = { ...intact, rehash };
    const accounts = at.create();
    at.store = intact;
    for (let i = 0; i < 2; i++)
      expect((await accounts.verify({ user, password: "long-password", address: home })).kind).toBe("ok");
    expect(at.store.findPassword(user)).toBe(outdated);
  });
});

function unpadded(bytes: string | Uint8Array): string {
  return Buffer.from(bytes as Uint8Array)
    .toString("base64")
    .replaceAll("=", "");
}
