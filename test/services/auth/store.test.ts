/** The account list under every mishap: what is damaged, full or locked stops new accounts, never replaces old ones. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from "node:fs";
import { mkdtemp, open, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type AccountStore, openAccountStore } from "../../../services/auth/store.ts";
import { witnessPath } from "../../../services/lib/database.ts";
import { createLog } from "../../../services/lib/log.ts";

const writerProgram = new URL("../../../services/auth/store-writer.ts", import.meta.url);
const pageBytes = 4_096;
/** Of accounts, behind the first pages of all tables. */
const accountsPage = pageBytes * 9;
const accounts = 600;
/** How often a list that could only be opened for reading is tried again (services/auth/store.ts). */
const reopenMs = 30_000;
const address = (i: number): string => `user${String(i).padStart(5, "0")}@chat.example.org`;
const hashOf = (name: string): string => `$hash-of-${name}${"x".repeat(80)}`;

describe("the account list", () => {
  let folder: string;
  let path: string;
  let logged: string;
  let opened: AccountStore[];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-store-"));
    path = join(folder, "accounts.sqlite");
    logged = "";
    opened = [];
  });
  afterEach(async () => {
    for (const store of opened) await store.close();
    await rm(folder, { recursive: true });
  });

  const openStore = (steadyNow = () => performance.now()): AccountStore => {
    const log = createLog((line) => {
      logged += line;
    });
    const store = openAccountStore({ path, writerProgram, log, steadyNow });
    opened.push(store);
    return store;
  };
  const close = async (store: AccountStore): Promise<void> => {
    opened = opened.filter((one) => one !== store);
    await store.close();
  };
  const add = (store: AccountStore, name: string): Promise<boolean> => store.create(name, hashOf(name), 0);

  /** A list of some pages, closed. */
  const fill = async (): Promise<void> => {
    const store = openStore();
    await Promise.all(Array.from({ length: accounts }, (_, i) => add(store, address(i))));
    await close(store);
  };
  const digest = async (): Promise<string> =>
    createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
  /** Of all accounts: found as they are, and failing to be looked up. A wrong or missing one is an error. */
  const lookUpAll = (store: AccountStore): { found: number; failed: number } => {
    const counts = { found: 0, failed: 0 };
    for (let i = 0; i < accounts; i++) {
      try {
        expect(store.findPassword(address(i))).toBe(hashOf(address(i)));
        counts.found += 1;
      } catch (cause) {
        if (!("errcode" in (cause as object)) && (cause as Error).name !== "AccountListError") throw cause;
        counts.failed += 1;
      }
    }
    return counts;
  };

  it("adds accounts that come together in few transactions, each once, and has them on disk", async () => {
    const store = openStore();
    expect(await add(store, "first0000@chat.example.org")).toBe(true);
    const before = await countCommits(`${path}-wal`);
    const names = Array.from({ length: 500 }, (_, i) => address(i % 400));
    const created = await Promise.all(names.map((name) => add(store, name)));
    expect(created.filter(Boolean)).toHaveLength(400);
    // The first goes alone, the others gather meanwhile, up to 256 each time.
    const commits = (await countCommits(`${path}-wal`)) - before;
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
    const store = openAccountStore({ path, writerProgram, log: createLog(() => {}), threadIdleMs: 200 });
    store.expectAccounts();
    expect(threads()).toBeGreaterThan(before);
    await expect.poll(threads, { timeout: 20_000 }).toBeLessThanOrEqual(before);
    expect(await store.create("somebody@example.org", "hash", 0)).toBe(true);
    await store.close();
  });

  it("keeps its thread only while accounts are made, and starts it again", async () => {
    const threads = (): number => readdirSync("/proc/self/task").length;
    const store = openAccountStore({ path, writerProgram, log: createLog(() => {}), threadIdleMs: 10 });
    opened.push(store);
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
      const file = await open(path, "r+");
      await file.write(bytes, 0, bytes.length, at);
      await file.close();
    };
    const size = async (): Promise<number> => (await stat(path)).size;

    it.each<[string, () => Promise<void>, RegExp]>([
      [
        "in its header",
        () => overwrite(0, randomBytes(100)),
        /cannot use the database .* move it aside only if/,
      ],
      ["by being replaced with something else", () => writeFile(path, randomBytes(50_000)), /cannot use/],
      ["by being emptied", () => truncate(path, 0), /is empty, though it was made before .* restore it/],
      ["by being cut off", async () => truncate(path, Math.floor((await size()) / 2)), /cannot use/],
      ["by being removed", () => rm(path), /is missing, though it was made before .* restore it/],
      [
        "by being zeroed in full",
        async () => overwrite(0, Buffer.alloc(await size())),
        /cannot use|is empty/,
      ],
    ])("%s does not open, and is left as it is", async (_how, damage, message) => {
      await fill();
      await damage();
      const before = existsSync(path) ? await digest() : "none";
      for (let i = 0; i < 2; i++) expect(() => openStore()).toThrow(message);
      expect(existsSync(path) ? await digest() : "none").toBe(before);
    });

    it("of a newer version does not open", async () => {
      await fill();
      const editor = new DatabaseSync(path);
      editor.exec("PRAGMA user_version = 99");
      editor.close();
      expect(() => openStore()).toThrow(/newer Homing/);
    });

    it("may begin anew only when its witness is removed", async () => {
      await fill();
      await rm(path);
      await rm(witnessPath(path));
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
      expect(logged).toMatch(/<3>the account list is damaged: no account is made/);
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
      const editor = new DatabaseSync(path);
      editor.exec("PRAGMA user_version = 1");
      editor.close();
      const { found, failed } = lookUpAll(store);
      expect(found).toBeGreaterThan(accounts / 4);
      expect(failed).toBeGreaterThan(0);
      expect(logged.match(/the account list is damaged/g)).toHaveLength(1);
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
       const database = new DatabaseSync(${JSON.stringify(path)});
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

  const mayMount = process.getuid?.() === 0 && spawnSync("losetup", ["--find"]).status === 0;
  describe.skipIf(!mayMount)(
    mayMount ? "on a full disk" : "on a full disk (needs root and loop devices)",
    () => {
      it("takes no new accounts, keeps the old ones, and goes on when there is room", async () => {
        await using disk = mountDisk();
        path = join(disk.folder, "accounts.sqlite");
        await fill();
        const store = openStore();
        disk.fill();
        const refused = await Promise.allSettled(
          Array.from({ length: 600 }, (_, i) => add(store, address(1_000 + i))),
        );
        const reasons = refused.flatMap((result) =>
          result.status === "rejected" ? [String(result.reason)] : [],
        );
        expect(reasons.length).toBeGreaterThan(0);
        expect(reasons[0]).toMatch(/AccountListError: .*full/);
        expect(lookUpAll(store)).toEqual({ found: accounts, failed: 0 });
        disk.empty();
        expect(await add(store, "newcomer1@chat.example.org")).toBe(true);
        // Nothing was half made: who was refused is not there, who was taken is.
        await close(store);
        const again = openStore();
        for (const [i, { status }] of refused.entries()) {
          expect(again.findPassword(address(1_000 + i)) !== undefined).toBe(status === "fulfilled");
        }
        await close(again);
      });

      it("opens for those who have an account, and for new ones once there is room", async () => {
        await using disk = mountDisk();
        path = join(disk.folder, "accounts.sqlite");
        await fill();
        disk.fill();
        let now = 0;
        const store = openStore(() => now);
        expect(logged).toContain("the disk is full: accounts that exist go on, none is made");
        expect(lookUpAll(store)).toEqual({ found: accounts, failed: 0 });
        expect(store.findPassword("nobody123@chat.example.org")).toBeUndefined();
        const refused = /the disk is full/;
        await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow(refused);
        // It does not look again for half a minute, be there room or not; and then there is none yet.
        now += reopenMs - 1;
        await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow(refused);
        expect(logged.match(/the disk is full/g)).toHaveLength(1);
        now += 1;
        await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow(refused);
        expect(logged.match(/the disk is full/g)).toHaveLength(2);
        expect(lookUpAll(store)).toEqual({ found: accounts, failed: 0 });
        disk.empty();
        await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow(refused);
        now += reopenMs;
        expect(await add(store, "newcomer1@chat.example.org")).toBe(true);
        expect(logged).toContain("<6>the account list is open for new accounts again");
        expect(lookUpAll(store)).toEqual({ found: accounts, failed: 0 });
        await close(store);
        expect(openStore().count()).toBe(accounts + 1);
      });

      it("ends, rather than know nobody, when it is gone as it opens again", async () => {
        await using disk = mountDisk();
        path = join(disk.folder, "accounts.sqlite");
        await fill();
        disk.fill();
        let now = 0;
        const store = openStore(() => now);
        await rm(path);
        now += reopenMs;
        // The failure reaches the process (lib/shutdown.ts ends it) as well as who asked.
        const uncaught = catchUncaught();
        await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow(/is missing, though/);
        expect(await uncaught).toMatchObject({ message: expect.stringMatching(/is missing, though/) });
        expect(() => store.findPassword(address(1))).toThrow();
        expect(existsSync(path)).toBe(false);
        // It is closed already.
        opened = opened.filter((one) => one !== store);
      });

      /** A small disk of its own. */
      function mountDisk(): AsyncDisposable & { folder: string; fill(): void; empty(): void } {
        const disk = join(folder, "disk");
        const filling = [65_536, 512].map((bytes) => ({ bytes, file: join(disk, `filling-${bytes}`) }));
        mkdirSync(disk);
        run("truncate", "--size=12M", `${disk}.img`);
        run("mkfs.ext4", "-q", "-m", "0", `${disk}.img`);
        run("mount", "-o", "loop", `${disk}.img`, disk);
        return {
          folder: disk,
          fill() {
            for (const { bytes, file } of filling) fillUp(file, bytes);
          },
          empty() {
            for (const { file } of filling) rmSync(file);
            // ext4 gives room back when its journal is written.
            run("sync");
          },
          async [Symbol.asyncDispose]() {
            for (const store of opened.splice(0)) await store.close();
            run("umount", disk);
          },
        };
      }

      function fillUp(path: string, bytes: number): void {
        const file = openSync(path, "w");
        try {
          for (;;) writeSync(file, Buffer.alloc(bytes));
        } catch (cause) {
          expect((cause as NodeJS.ErrnoException).code).toBe("ENOSPC");
        } finally {
          fsyncSync(file);
          closeSync(file);
        }
      }

      function run(...[command, ...args]: [string, ...string[]]): void {
        const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
        if (status !== 0) throw new Error(`${command}: ${stderr}`);
      }
    },
  );
});

/** The next error that nobody caught, which would end the process; vitest's own handlers do not see it. */
function catchUncaught(): Promise<Error> {
  const handlers = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  return new Promise((resolve) => {
    process.once("uncaughtException", (error) => {
      for (const handler of handlers) process.on("uncaughtException", handler);
      resolve(error);
    });
  });
}

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
