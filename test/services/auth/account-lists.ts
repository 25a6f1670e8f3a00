/** Account lists in a folder of a test's own, closed and removed with it; for the tests of services/auth/store.ts. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect } from "vitest";
import { type AccountStore, openAccountStore } from "../../../services/auth/store.ts";
import { createLog } from "../../../services/lib/log.ts";

export const writerProgram = new URL("../../../services/auth/store-writer.ts", import.meta.url);
/** Enough for some pages. */
export const accounts = 600;
export const address = (i: number): string => `user${String(i).padStart(5, "0")}@chat.example.org`;
export const hashOf = (name: string): string => `$hash-of-${name}${"x".repeat(80)}`;

/** Called where the tests are described. */
export function useAccountLists() {
  const lists = { folder: "", path: "", logged: "", opened: [] as AccountStore[] };
  beforeEach(async () => {
    const folder = await mkdtemp(join(tmpdir(), "homing-store-"));
    Object.assign(lists, { folder, path: join(folder, "accounts.sqlite"), logged: "", opened: [] });
  });
  afterEach(async () => {
    for (const store of lists.opened) await store.close();
    await rm(lists.folder, { recursive: true });
  });

  const openStore = (steadyNow = () => performance.now()): AccountStore => {
    const log = createLog((line) => {
      lists.logged += line;
    });
    const store = openAccountStore({ path: lists.path, writerProgram, log, steadyNow });
    lists.opened.push(store);
    return store;
  };
  const close = async (store: AccountStore): Promise<void> => {
    lists.opened = lists.opened.filter((one) => one !== store);
    await store.close();
  };
  const add = (store: AccountStore, name: string): Promise<boolean> => store.create(name, hashOf(name), 0);

  /** A list of some pages, closed. */
  const fill = async (): Promise<void> => {
    const store = openStore();
    await Promise.all(Array.from({ length: accounts }, (_, i) => add(store, address(i))));
    await close(store);
  };
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

  return Object.assign(lists, { openStore, close, add, fill, lookUpAll });
}
