import { join } from "node:path";
import { expect, it } from "vitest";
import type { ListedAccount } from "../../../appliance/account-states.ts";
import { emptyReport } from "../../../appliance/reaper-report.ts";
import { createLog } from "../../../services/lib/log.ts";
import {
  type AccountParts,
  deleteAccounts,
  findLeaving,
  type IdleRule,
} from "../../../services/reaper/accounts.ts";
import { openGoneNames } from "../../../services/reaper/gone-names.ts";
import { DAY, foldersIn, makeStore, now, type TestStore } from "./store.ts";

const today = Math.floor(now / DAY) * DAY;
const rule: IdleRule = {
  afterDays: 90,
  ages: { now, cameAt: (stamp, until = stamp) => Math.min(until, now) },
  connected: new Set(["connected@_a.test"]),
};
const log = createLog(() => {});

/** Accounts by name: days since they were made and since the last login, and their state. */
type World = Record<
  string,
  { made: number; login?: number; state?: ListedAccount["state"]; unblocked?: number }
>;

/** Both services in memory; `failAt` ends everything at that step, as a crash does. */
function makeWorld(store: TestStore, world: World, failAt = Number.POSITIVE_INFINITY) {
  const rows = new Map(
    Object.entries(world).map(([name, { made, state = "active", unblocked }]): [string, ListedAccount] => {
      const address = `${name}@_a.test`;
      const unblockedDay = unblocked === undefined ? {} : { unblockedDay: today - unblocked * DAY };
      return [address, { address, createdDay: today - made * DAY, state, ...unblockedDay }];
    }),
  );
  const logins = new Map(
    Object.entries(world).flatMap(([name, { login }]): [string, number][] =>
      login === undefined ? [] : [[`${name}@_a.test`, today - login * DAY]],
    ),
  );
  let steps = 0;
  const step = () => {
    if (++steps > failAt) throw new Error("killed");
  };
  const parts: AccountParts = {
    accounts: {
      async *list() {
        yield* rows.values();
      },
      has: async (address) => rows.has(address),
      async leave(address) {
        step();
        rows.set(address, { ...rows.get(address)!, state: "leaving" });
      },
      async forget(address) {
        step();
        // What must be gone before the name is free.
        expect(store.mailboxes.has(address), address).toBe(false);
        expect(logins.has(address), address).toBe(false);
        expect(rows.get(address)?.state).toBe("leaving");
        rows.delete(address);
      },
    },
    lastLogins: {
      since: async () => today - 500 * DAY,
      read: async (addresses) => addresses.map((address) => logins.get(address)),
      async note(addresses, time) {
        for (const address of addresses) logins.set(address, Math.floor(time / DAY) * DAY);
      },
      async forget(addresses) {
        step();
        for (const address of addresses) logins.delete(address);
      },
    },
    mailboxes: {
      ...store.mailboxes,
      removeAccount(address) {
        step();
        store.mailboxes.removeAccount(address);
      },
    },
    gone: openGoneNames(join(store.folder, "gone")),
    now,
    report: emptyReport(false),
    log,
  };
  return { parts, rows, logins };
}

const world: World = {
  fresh: { made: 89 },
  used: { made: 400, login: 89 },
  idle: { made: 400, login: 92 },
  never: { made: 92 },
  edge: { made: 400, login: 90 },
  blocked: { made: 400, login: 300, state: "blocked" },
  connected: { made: 400, login: 300 },
  asked: { made: 1, login: 0, state: "leaving" },
};

it("finds who had no login for too long, but none that is blocked or connected, and whoever was asked to go", async () => {
  using store = makeStore();
  const { parts, rows } = makeWorld(store, world);
  const leaving = await findLeaving(parts, rule);
  expect([...leaving.keys()].sort()).toEqual(["asked", "idle", "never"].map((name) => `${name}@_a.test`));
  expect([...rows.values()].filter(({ state }) => state === "leaving")).toHaveLength(3);
  await deleteAccounts(parts, leaving);
  expect(parts.report.accounts).toEqual({ idle: 2, asked: 1 });
});

it("lets an account be without a login for just so long as the settings have it, and no second longer", async () => {
  using store = makeStore();
  // A login at the last moment of its day: nobody keeps more of it than the day.
  const lastMoment = today + DAY - 1;
  const accounts: World = {
    login: { made: 400, login: 0 },
    made: { made: 0 },
    unblocked: { made: 400, login: 300, unblocked: 0 },
  };
  const find = async (idleSeconds: number) => {
    const then = lastMoment + idleSeconds;
    const { parts } = makeWorld(store, accounts);
    const at: IdleRule = { ...rule, ages: { now: then, cameAt: (from, until = from) => until } };
    return [...(await findLeaving({ ...parts, now: then }, at)).keys()].sort();
  };
  expect(await find(90 * DAY)).toEqual([]);
  expect(await find(90 * DAY + 1)).toEqual(["login", "made", "unblocked"].map((name) => `${name}@_a.test`));
});

it("counts an account when it is gone, not whenever it could not be deleted", async () => {
  using store = makeStore();
  const { parts } = makeWorld(store, world);
  const away = { ...parts.lastLogins, forget: () => Promise.reject(new Error("metadata is away")) };
  const failing = { ...parts, lastLogins: away };
  const leaving = await findLeaving(failing, rule);
  await expect(deleteAccounts(failing, leaving)).rejects.toThrow("metadata is away");
  expect(parts.report.accounts).toEqual({ idle: 0, asked: 0 });
  // Nobody knows any more why they leave.
  await deleteAccounts(parts, await findLeaving(parts, rule));
  expect(parts.report.accounts).toEqual({ idle: 0, asked: 3 });
});

it("takes nobody for idle whose logins it cannot know of, since what is kept of them is younger", async () => {
  using store = makeStore();
  const { parts } = makeWorld(store, { ...world, ahead: { made: 400, login: -100 } });
  const find = async (since: number) => {
    const lastLogins = { ...parts.lastLogins, since: async () => today - since * DAY };
    const dry = { ...parts, lastLogins, report: emptyReport(true) };
    return [...(await findLeaving(dry, rule)).keys()].sort();
  };
  expect(await find(91)).toEqual(["asked", "idle", "never"].map((name) => `${name}@_a.test`));
  expect(await find(3)).toEqual(["asked", "idle"].map((name) => `${name}@_a.test`));
});

it("lets nobody go who logged in while it looked", async () => {
  using store = makeStore();
  const { parts, rows, logins } = makeWorld(store, world);
  let reads = 0;
  const read: AccountParts["lastLogins"]["read"] = (addresses) => {
    const days = parts.lastLogins.read(addresses);
    if (++reads === 1) logins.set("never@_a.test", today);
    return days;
  };
  const leaving = await findLeaving({ ...parts, lastLogins: { ...parts.lastLogins, read } }, rule);
  expect([...leaving.keys()].sort()).toEqual(["asked@_a.test", "idle@_a.test"]);
  expect(rows.get("never@_a.test")?.state).toBe("active");
});

it("counts from the day on which an account was unblocked, for nobody could log in before", async () => {
  using store = makeStore();
  const login = { made: 400, login: 300 };
  const { parts } = makeWorld(store, {
    back: { ...login, unblocked: 89 },
    away: { ...login, unblocked: 92 },
    never: { made: 400, unblocked: 0 },
  });
  expect([...(await findLeaving(parts, rule)).keys()]).toEqual(["away@_a.test"]);
});

it("changes nothing in a dry run", async () => {
  using store = makeStore();
  const { parts, rows } = makeWorld(store, world);
  const before = structuredClone(rows);
  const dry = { ...parts, report: emptyReport(true) };
  await deleteAccounts(dry, await findLeaving(dry, rule));
  expect(rows).toEqual(before);
  expect(dry.report.accounts).toEqual({ idle: 2, asked: 1 });
});

it("takes who is connected for logged in, so that nobody goes who is away when the next run looks", async () => {
  using store = makeStore();
  const { parts, logins } = makeWorld(store, world);
  const client = "connected@_a.test";
  const away: IdleRule = { ...rule, connected: new Set() };
  // It shows what would go, and notes nothing.
  await findLeaving({ ...parts, report: emptyReport(true) }, rule);
  expect(logins.get(client)).toBe(today - 300 * DAY);
  expect((await findLeaving(parts, rule)).has(client)).toBe(false);
  expect((await findLeaving(parts, away)).has(client)).toBe(false);
  const later = { ...away, ages: { ...rule.ages, now: now + 92 * DAY } };
  expect((await findLeaving(parts, later)).has(client)).toBe(true);
});

it("judges nobody by a clock that cannot be believed", async () => {
  using store = makeStore();
  const { parts } = makeWorld(store, world);
  expect([...(await findLeaving(parts, undefined)).keys()]).toEqual(["asked@_a.test"]);
});

it("frees a name only when nothing is left of it, wherever it was killed before", async () => {
  for (let failAt = 0; failAt <= 10; failAt++) {
    using store = makeStore();
    for (const name of Object.keys(world)) store.add(`${name}@_a.test`, 1, 100);
    const { parts, rows, logins } = makeWorld(store, world, failAt);
    const run = async (one: AccountParts) => deleteAccounts(one, await findLeaving(one, rule));
    await run(parts).catch((cause: Error) => expect(cause.message).toBe("killed"));
    // The next run has all that is left of the first one.
    const next: World = Object.fromEntries(
      [...rows.values()].map(({ address, createdDay, state }) => {
        const login = logins.get(address);
        const days = (from: number) => (today - from) / DAY;
        const name = address.split("@")[0]!;
        return [name, { made: days(createdDay), state, ...(login !== undefined && { login: days(login) }) }];
      }),
    );
    const again = makeWorld(store, next);
    await run(again.parts);
    expect([...again.rows.keys()].sort()).toEqual(
      ["blocked", "connected", "edge", "fresh", "used"].map((name) => `${name}@_a.test`),
    );
    expect(foldersIn(`${store.folder}/mail`)).toEqual([...again.rows.keys(), "index"].sort());
    expect(foldersIn(`${store.folder}/mail/index`)).toEqual([...again.rows.keys()].sort());
  }
});

it("takes away what was delivered when an account was gone by then, but nothing of the next of that name", async () => {
  using store = makeStore();
  const [alice, bob, carol] = ["alice", "bob", "carol"].map((name) => `${name}@_a.test`) as [
    string,
    string,
    string,
  ];
  const { parts, rows } = makeWorld(store, {
    alice: { made: 1, state: "leaving" },
    bob: { made: 1, state: "leaving" },
  });
  await deleteAccounts(parts, await findLeaving(parts, rule));
  // Three deliveries end; somebody takes the name of bob. Carol's row is not there for a reason that nobody knows.
  for (const address of [alice, bob, carol]) store.add(address, 0, 100);
  rows.set(bob, { address: bob, createdDay: today, state: "active" });
  const look = async (hours: number, changes: Partial<AccountParts> = {}) => {
    await findLeaving({ ...parts, now: now + hours * 3_600, ...changes }, rule).catch(() => {});
    return store.mailboxes.addresses().sort();
  };
  expect(await look(0.5)).toEqual([alice, bob, carol]);
  const cutOff: AccountParts["accounts"] = {
    ...parts.accounts,
    // biome-ignore lint/correctness/useYield: it fails before.
    list: async function* () {
      throw new Error("cut off");
    },
  };
  expect(await look(2, { accounts: cutOff })).toEqual([alice, bob, carol]);
  expect(await look(2, { report: emptyReport(true) })).toEqual([alice, bob, carol]);
  // Somebody takes the name of alice too when the list is read already.
  const late: AccountParts["accounts"] = {
    ...parts.accounts,
    async *list() {
      yield* parts.accounts.list();
      rows.set(alice, { address: alice, createdDay: today, state: "active" });
    },
  };
  const noted = parts.gone.read();
  expect(await look(2, { accounts: late })).toEqual([alice, bob, carol]);
  rows.delete(alice);
  parts.gone.keep(noted);
  expect(await look(2)).toEqual([bob, carol]);
  // Forgotten: it is not looked at again.
  store.add(alice, 0, 100);
  rows.delete(bob);
  expect(await look(4)).toEqual([alice, bob, carol]);
  expect(parts.gone.read().size).toBe(0);
});
