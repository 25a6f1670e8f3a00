import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { ListedAccount } from "../../../appliance/account-states.ts";
import { createLog } from "../../../services/lib/log.ts";
import { openFullNotes } from "../../../services/reaper/full-notes.ts";
import { openGoneNames } from "../../../services/reaper/gone-names.ts";
import { type RunMode, type RunParts, runReaper } from "../../../services/reaper/run.ts";
import { foldersIn, makeStore, now, settings, type TestStore } from "./store.ts";

const alice = "alice0000@chat.example.org";

/** A relay with nobody on it but whom the test puts there. */
function makeParts(store: TestStore, changes: Partial<RunParts> = {}) {
  const [full, again] = ["full", "again"].map((name) => join(store.folder, name)) as [string, string];
  for (const folder of [full, again]) mkdirSync(folder);
  const parts: RunParts = {
    config: { messages: settings, accounts: { deleteIdleAfterDays: 90 } as RunParts["config"]["accounts"] },
    limits: { bytes: 1_000_000, messages: 245 },
    mailboxes: store.mailboxes,
    accounts: {
      list: async function* (): AsyncGenerator<ListedAccount> {},
      has: async () => false,
      leave: async () => {},
      forget: async () => {},
    },
    lastLogins: { since: async () => 0, read: async () => [], note: async () => {}, forget: async () => {} },
    connected: async () => new Set(),
    notes: openFullNotes(full, again),
    noted: [],
    gone: openGoneNames(join(store.folder, "gone")),
    clock: {
      cameAt: (stamp) => stamp,
      state: () => ({ lastRun: now, wasSynced: true, trustedSince: 0, doubts: [] }),
    },
    now,
    freeBytes: () => 1e12,
    reserve: 1e6,
    queueBytes: { all: 0, held: 0 },
    log: createLog((line) => store.log.push(line)),
    ...changes,
  };
  return { parts, full, again };
}

/** As main.ts does it. */
const run = (mode: RunMode, parts: RunParts) =>
  runReaper(mode, false, { ...parts, noted: mode === "expire" ? [] : parts.notes.take() });

it("makes a noted mailbox smaller, and looks again at one whose messages are too young", async () => {
  using store = makeStore();
  for (let i = 0; i < 8; i++) store.add(alice, 0.5, 100_000);
  const { parts, full, again } = makeParts(store);
  writeFileSync(join(full, alice), "");
  await run("full", parts);
  expect(store.days(alice)).toHaveLength(8);
  expect([foldersIn(full), foldersIn(again)]).toEqual([[], [alice]]);
  // A day later.
  const later = { ...parts, now: now + 86_400 };
  await run("room", later);
  expect(store.days(alice)).toHaveLength(7);
  expect(foldersIn(again)).toEqual([]);
});

it("looks again at a mailbox that Dovecot calls nearly full and that is not", async () => {
  using store = makeStore();
  for (const days of [4, 3, 2]) store.add(alice, days, 200_000);
  const { parts, full, again } = makeParts(store);
  writeFileSync(join(full, alice), "");
  await run("full", parts);
  expect([foldersIn(full), foldersIn(again)]).toEqual([[], [alice]]);
  // What was being delivered then.
  store.add(alice, 0, 200_000);
  await run("room", parts);
  expect(store.days(alice)).toEqual([3, 2, 0]);
  expect(foldersIn(again)).toEqual([]);
  // A mailbox that was made smaller, or stayed small, is looked at no more.
  for (const days of [1.5, 1.4]) store.add(alice, days, 100_000);
  writeFileSync(join(full, alice), "");
  await run("full", parts);
  expect(foldersIn(again)).toEqual([]);
  writeFileSync(join(again, alice), "");
  await run("room", parts);
  expect(foldersIn(again)).toEqual([]);
});

it("keeps a note through a run that fails, but not where it would start the next", async () => {
  using store = makeStore();
  for (const days of [5, 4, 3, 2]) store.add(alice, days, 200_000);
  const { parts, full, again } = makeParts(store);
  writeFileSync(join(full, alice), "");
  mkdirSync(join(full, "something-else"));
  expect(parts.notes.take()).toEqual([alice]);
  // What failed then has taken the note already.
  expect([foldersIn(full), foldersIn(again)]).toEqual([[], [alice]]);
  await run("room", parts);
  expect(store.days(alice)).toEqual([4, 3, 2]);
  expect(foldersIn(again)).toEqual([]);
  // And a look takes what no run for notes has taken.
  for (const days of [2, 2]) store.add(alice, days, 100_000);
  writeFileSync(join(full, alice), "");
  await run("room", parts);
  expect([foldersIn(full), foldersIn(again)]).toEqual([[], []]);
  expect(store.days(alice)).toEqual([3, 2, 2, 2]);
});

it("keeps a note for later while the clock cannot be believed, for systemd starts a run for each", async () => {
  using store = makeStore();
  for (let i = 0; i < 9; i++) store.add(alice, 30, 100_000);
  const { parts, full, again } = makeParts(store);
  writeFileSync(join(full, alice), "");
  const unsure = { ...parts, clock: { ...parts.clock, refusal: "it is 1970" } };
  for (const mode of ["full", "room", "expire"] as const) {
    const report = await run(mode, unsure);
    expect(report).toMatchObject({
      refusal: "it is 1970",
      removed: { age: { messages: 0 }, full: { messages: 0 } },
    });
  }
  expect(store.days(alice)).toHaveLength(9);
  expect([foldersIn(full), foldersIn(again)]).toEqual([[], [alice]]);
});

it("deletes whom somebody asked to delete, and nobody else, though Dovecot does not say who is connected", async () => {
  using store = makeStore();
  const [idle, asked] = ["idle00000@_a.test", "asked0000@_a.test"];
  const changes: string[] = [];
  const accounts: RunParts["accounts"] = {
    list: async function* (): AsyncGenerator<ListedAccount> {
      yield { address: idle!, createdDay: 0, state: "active" };
      yield { address: asked!, createdDay: 0, state: "leaving" };
    },
    has: async () => true,
    leave: async (address) => void changes.push(`leave ${address}`),
    forget: async (address) => void changes.push(`forget ${address}`),
  };
  const { parts } = makeParts(store, { accounts });
  const connected = () => Promise.reject(new Error("Dovecot is away"));
  expect(await run("expire", { ...parts, connected })).toMatchObject({ failures: 1 });
  expect(changes).toEqual([`forget ${asked}`]);
  expect(await run("expire", parts)).toMatchObject({
    failures: 0,
    accounts: { idle: 1, asked: 1 },
  });
});

it("deletes old mail though the account service does not answer, and says that something failed", async () => {
  using store = makeStore();
  store.add(alice, 30, 100);
  const accounts: RunParts["accounts"] = {
    // biome-ignore lint/correctness/useYield: it fails before.
    list: async function* (): AsyncGenerator<ListedAccount> {
      throw new Error("nobody there");
    },
    has: async () => false,
    leave: async () => {},
    forget: async () => {},
  };
  const { parts } = makeParts(store, { accounts });
  expect(await run("expire", parts)).toMatchObject({
    failures: 1,
    removed: { age: { messages: 1 } },
  });
  expect(store.log.join("")).toContain("nobody there");
});
