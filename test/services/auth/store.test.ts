/** The account list under every mishap: what is damaged or locked stops new accounts, never replaces old ones. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { open, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import { openAccountStore } from "../../../services/auth/store.ts";
import { witnessPath } from "../../../services/lib/database.ts";
import { createLog } from "../../../services/lib/log.ts";
import { accounts, address, hashOf, useAccountLists, writerProgram } from "./account-lists.ts";

const pageBytes = 4_096;
/** Of accounts, behind the first pages of all tables. */
const accountsPage = pageBytes * 9;

describe("the account list", () => {
  const lists = useAccountLists();
  const { openStore, close, add, fill, lookUpAll } = lists;
  const digest = async (): Promise<string> =>
    createHash("sha256")
      .update(await readFile(lists.path))
      .digest("hex");

  it("adds accounts that come together in few transactions, each once, and has them on disk", async () => {
    const store = openStore();
    expect(await add(store, "first0000@chat.example.org")).toBe(true);
    const before = await countCommits(`${lists.path}-wal`);
    const names = Array.from({ length: 500 }, (_, i) => address(i % 400));
    const created = await Promise.all(names.map((name) => add(store, name)));
    expect(created.filter(Boolean)).toHaveLength(400);
    // The first goes alone, the others gather meanwhile, up to 256 each time.
    const commits = (await countCommits(`${lists.path}-wal`)) - before;
    expect(commits).toBeGreaterThan(0);
    expect(commits).toBeLessThanOrEqual(3);
    expect(store.count()).toBe(401);
    await close(store);
    const again = openStore();
    expect(again.findPassword(address(399))).toBe(hashOf(address(399)));
    expect(again.findPassword(address(400))).toBeUndefined();
  });

  it("stores another hash only in place of the one it was told", async () => {
    const store = openStore();
    await add(store, address(1));
    const stored = hashOf(address(1));
    expect(await store.rehash(address(1), "$another", "$newer")).toBe(false);
    expect(await store.rehash(address(2), stored, "$newer")).toBe(false);
    expect(store.findPassword(address(1))).toBe(stored);
    expect(
      await Promise.all(["$newer", "$newest"].map((hash) => store.rehash(address(1), stored, hash))),
    ).toEqual([true, false]);
    await close(store);
    const again = openStore();
    expect(again.findPassword(address(1))).toBe("$newer");
    expect(again.count()).toBe(1);
  });

  it("starts its thread early where accounts are expected, and ends it when none is made", async () => {
    const threads = (): number => readdirSync("/proc/self/task").length;
    const before = threads();
    const store = openAccountStore({
      path: lists.path,
      writerProgram,
      log: createLog(() => {}),
      threadIdleMs: 200,
    });
    store.expectAccounts();
    expect(threads()).toBeGreaterThan(before);
    await expect.poll(threads, { timeout: 20_000 }).toBeLessThanOrEqual(before);
    expect(await store.create("somebody@example.org", "hash", 0)).toBe(true);
    await store.close();
  });

  it("keeps its thread only while accounts are made, and starts it again", async () => {
    const threads = (): number => readdirSync("/proc/self/task").length;
    const store = openAccountStore({
      path: lists.path,
      writerProgram,
      log: createLog(() => {}),
      threadIdleMs: 10,
    });
    lists.opened.push(store);
    const before = threads();
    for (const name of [address(1), address(2)]) {
      expect(await add(store, name)).toBe(true);
      await expect.poll(threads, { timeout: 20_000 }).toBeLessThanOrEqual(before);
    }
    expect(store.count()).toBe(2);
  });

  it("finishes what is under way when it is closed", async () => {
    const store = openStore();
    const pending = Array.from({ length: 300 }, (_, i) => add(store, address(i)));
    await close(store);
    expect((await Promise.all(pending)).every(Boolean)).toBe(true);
    expect(openStore().count()).toBe(300);
  });

  describe("when it is damaged", () => {
    const overwrite = async (at: number, bytes: Buffer): Promise<void> => {
      const file = await open(lists.path, "r+");
      await file.write(bytes, 0, bytes.length, at);
      await file.close();
    };
    const size = async (): Promise<number> => (await stat(lists.path)).size;

    it.each<[string, () => Promise<void>, RegExp]>([
      [
        "in its header",
        () => overwrite(0, randomBytes(100)),
        /cannot use the database .* move it aside only if/,
      ],
      [
        "by being replaced with something else",
        () => writeFile(lists.path, randomBytes(50_000)),
        /cannot use/,
      ],
      [
        "by being emptied",
        () => truncate(lists.path, 0),
        /is empty, though it was made before .* restore it/,
      ],
      ["by being cut off", async () => truncate(lists.path, Math.floor((await size()) / 2)), /cannot use/],
      ["by being removed", () => rm(lists.path), /is missing, though it was made before .* restore it/],
      [
        "by being zeroed in full",
        async () => overwrite(0, Buffer.alloc(await size())),
        /cannot use|is empty/,
      ],
    ])("%s does not open, and is left as it is", async (_how, damage, message) => {
      await fill();
      await damage();
      const before = existsSync(lists.path) ? await digest() : "none";
      for (let i = 0; i < 2; i++) expect(() => openStore()).toThrow(message);
      expect(existsSync(lists.path) ? await digest() : "none").toBe(before);
    });

    it("of a newer version does not open", async () => {
      await fill();
      const editor = new DatabaseSync(lists.path);
      editor.exec("PRAGMA user_version = 99");
      editor.close();
      expect(() => openStore()).toThrow(/newer Homing/);
    });

    it("may begin anew only when its witness is removed", async () => {
      await fill();
      await rm(lists.path);
      await rm(witnessPath(lists.path));
      expect(openStore().count()).toBe(0);
    });

    it.each<[string, () => Promise<void>]>([
      ["at a page in the middle", () => overwrite(accountsPage, randomBytes(pageBytes))],
      ["at a page that reads as zeros", () => overwrite(accountsPage, Buffer.alloc(pageBytes))],
    ])("%s, lets those in that it can read, makes none and calls nobody unknown", async (_how, damage) => {
      await fill();
      await damage();
      const before = await digest();
      const store = openStore();
      expect(lists.logged).toMatch(/<3>the account list is damaged: no account is made/);
      const { found, failed } = lookUpAll(store);
      expect(found).toBeGreaterThan(accounts / 4);
      expect(failed).toBeGreaterThan(0);
      expect(() => store.findPassword("nobody123@chat.example.org")).toThrow();
      await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow("damaged");
      await close(store);
      expect(await digest()).toBe(before);
    });

    it("while it is open, says so once and takes no more accounts", async () => {
      await fill();
      const store = openStore();
      await overwrite(accountsPage, Buffer.alloc(pageBytes));
      // What was read before may stay in memory; a new process would see it all.
      const editor = new DatabaseSync(lists.path);
      editor.exec("PRAGMA user_version = 1");
      editor.close();
      const { found, failed } = lookUpAll(store);
      expect(found).toBeGreaterThan(accounts / 4);
      expect(failed).toBeGreaterThan(0);
      expect(lists.logged.match(/the account list is damaged/g)).toHaveLength(1);
      await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow("damaged");
    });
  });

  it("goes on with old accounts while another process holds the lock, and takes new ones afterwards", async () => {
    await fill();
    const store = openStore();
    const holder = spawn(process.execPath, [
      "--disable-warning=ExperimentalWarning",
      "--input-type=module",
      "--eval",
      `import { DatabaseSync } from "node:sqlite";
       const database = new DatabaseSync(${JSON.stringify(lists.path)});
       database.exec("BEGIN IMMEDIATE");
       process.stdin.once("end", () => { database.exec("ROLLBACK"); process.exit(); }).resume();
       console.log("locked");`,
    ]) as ChildProcess & { stdout: NodeJS.ReadableStream; stdin: NodeJS.WritableStream };
    await once(holder.stdout, "data");
    const refused = await add(store, address(9_998)).catch((error: Error) => error);
    expect(lookUpAll(store)).toEqual({ found: accounts, failed: 0 });
    expect(refused).toMatchObject({ name: "AccountListError", message: expect.stringContaining("locked") });
    const waiting = add(store, address(9_999));
    expect(lookUpAll(store)).toEqual({ found: accounts, failed: 0 });
    holder.stdin.end();
    expect(await waiting).toBe(true);
  });
});

/** Transactions in a -wal file: frames that say how large the database is afterwards (sqlite.org/fileformat2.html#walformat). */
async function countCommits(wal: string): Promise<number> {
  const bytes = await readFile(wal);
  const salt = bytes.subarray(16, 24);
  let commits = 0;
  for (let at = 32; at + 24 <= bytes.length; at += 24 + pageBytes) {
    const isCurrent = bytes.subarray(at + 8, at + 16).equals(salt);
    if (isCurrent && bytes.readUInt32BE(at + 4) > 0) commits += 1;
  }
  return commits;
}
