/** The list of accounts on a real disk that has no room left. */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { accounts, address, useAccountLists } from "./account-lists.ts";

/** How often a list that could only be opened for reading is tried again (services/auth/store.ts). */
const reopenMs = 30_000;

describe("the account list", () => {
  const lists = useAccountLists();
  const { openStore, close, add, fill, lookUpAll } = lists;
  const mayMount = process.getuid?.() === 0 && spawnSync("losetup", ["--find"]).status === 0;
  describe.skipIf(!mayMount)(
    mayMount ? "on a full disk" : "on a full disk (needs root and loop devices)",
    () => {
      it("takes no new accounts, keeps the old ones, and goes on when there is room", async () => {
        await using disk = mountDisk();
        lists.path = join(disk.folder, "accounts.sqlite");
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
        await using disk = await fillDisk();
        let now = 0;
        const store = openStore(() => now);
        expect(lists.logged).toContain("the disk is full: accounts that exist go on, none is made");
        expect(lookUpAll(store)).toEqual({ found: accounts, failed: 0 });
        expect(store.findPassword("nobody123@chat.example.org")).toBeUndefined();
        const refused = /the disk is full/;
        await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow(refused);
        // It does not look again for half a minute, be there room or not; and then there is none yet.
        now += reopenMs - 1;
        await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow(refused);
        expect(lists.logged.match(/the disk is full/g)).toHaveLength(1);
        now += 1;
        await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow(refused);
        expect(lists.logged.match(/the disk is full/g)).toHaveLength(2);
        expect(lookUpAll(store)).toEqual({ found: accounts, failed: 0 });
        disk.empty();
        await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow(refused);
        now += reopenMs;
        expect(await add(store, "newcomer1@chat.example.org")).toBe(true);
        expect(lists.logged).toContain("<6>the account list is open for new accounts again");
        expect(lookUpAll(store)).toEqual({ found: accounts, failed: 0 });
        await close(store);
        expect(openStore().count()).toBe(accounts + 1);
      });

      it("ends, rather than know nobody, when it is gone as it opens again", async () => {
        await using _disk = await fillDisk();
        let now = 0;
        const store = openStore(() => now);
        await rm(lists.path);
        now += reopenMs;
        // The failure reaches the process (lib/shutdown.ts ends it) as well as who asked.
        const uncaught = catchUncaught();
        await expect(add(store, "newcomer1@chat.example.org")).rejects.toThrow(/is missing, though/);
        expect(await uncaught).toMatchObject({ message: expect.stringMatching(/is missing, though/) });
        expect(() => store.findPassword(address(1))).toThrow();
        expect(existsSync(lists.path)).toBe(false);
        // It is closed already.
        lists.opened = lists.opened.filter((one) => one !== store);
      });

      /** The list and nothing else has room on the disk. */
      async function fillDisk() {
        const disk = mountDisk();
        lists.path = join(disk.folder, "accounts.sqlite");
        await fill();
        disk.fill();
        return disk;
      }

      /** A small disk of its own. */
      function mountDisk(): AsyncDisposable & { folder: string; fill(): void; empty(): void } {
        const disk = join(lists.folder, "disk");
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
            for (const store of lists.opened.splice(0)) await store.close();
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
