import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { emptyReport } from "../../../appliance/reaper-report.ts";
import { sweepAll } from "../../../services/reaper/expiry.ts";
import { DAY, makeStore, now } from "./store.ts";

const alice = "alice0000@chat.example.org";
const bob = "bob000000@chat.example.org";

it("removes old messages, and large ones earlier, in all mailboxes of all accounts", () => {
  using store = makeStore();
  for (const place of ["cur", "new", ".Archive/cur", ".A.B/new"]) {
    for (const days of [0, 19.9, 20.1, 400]) store.add(alice, days, 10_000, place);
  }
  for (const days of [6.9, 7.1]) {
    store.add(bob, days, 200_000);
    store.add(bob, days, 200_001);
  }
  const sweep = store.sweep({ purgeAbovePercent: 100 });
  sweepAll(sweep);
  expect(store.days(alice)).toEqual([19.9, 19.9, 19.9, 19.9, 0, 0, 0, 0]);
  expect(store.days(bob)).toEqual([7.1, 6.9, 6.9]);
  expect(sweep.report).toMatchObject({
    mailboxes: 2,
    removed: { age: { messages: 8, bytes: 80_000 }, large: { messages: 1, bytes: 200_001 } },
    failures: 0,
  });
});

it("lets a message become just so old as the settings have it, and no second older", () => {
  using store = makeStore();
  const [age, large, unfinished] = [20 * DAY, 7 * DAY, 1.5 * DAY];
  const add = (seconds: number, size: number, place?: string) => store.add(alice, seconds / DAY, size, place);
  for (const late of [0, 1]) {
    add(age + late, 10);
    add(large + late, 200_001);
    add(unfinished + late, 10, "tmp");
  }
  const ages = () => store.mailboxes.messages(alice).map(({ stamp }) => now - stamp);
  const byNumber = (a: number, b: number) => a - b;
  expect(ages().sort(byNumber)).toEqual([unfinished, unfinished + 1, large, large + 1, age, age + 1]);
  const sweep = store.sweep();
  sweepAll(sweep);
  expect(ages().sort(byNumber)).toEqual([unfinished, large, age]);
  for (const reason of ["age", "large", "unfinished"] as const)
    expect(sweep.report.removed[reason].messages, reason).toBe(1);
});

it("spares in a full mailbox what is just as old as the newest that are kept, and nothing older", () => {
  using store = makeStore();
  for (const late of [0, 1]) for (let i = 0; i < 5; i++) store.add(alice, (DAY + late) / DAY, 150_000);
  const sweep = store.sweep();
  sweepAll(sweep);
  expect(store.mailboxes.messages(alice).map(({ stamp }) => now - stamp)).toEqual(Array(5).fill(DAY));
});

it("says the same with a dry run, and removes nothing", () => {
  using store = makeStore();
  for (const days of [1, 8, 21, 30]) store.add(alice, days, 250_000);
  const dry = store.sweep({}, emptyReport(true));
  sweepAll(dry);
  expect(store.days(alice)).toEqual([30, 21, 8, 1]);
  const wet = store.sweep();
  sweepAll(wet);
  expect(wet.report).toEqual({ ...dry.report, dryRun: false });
  expect(store.days(alice)).toEqual([1]);
});

it("makes a mailbox smaller that is nearly full, from its oldest messages, but for those of the last day", () => {
  using store = makeStore();
  for (const days of [5, 4, 3, 2, 0.5]) store.add(alice, days, 150_000);
  for (const days of [5, 4, 3, 2, 0.5]) store.add(bob, days, 149_000);
  const sweep = store.sweep();
  sweepAll(sweep);
  expect(store.days(alice)).toEqual([4, 3, 2, 0.5]);
  expect(store.days(bob)).toEqual([5, 4, 3, 2, 0.5]);
  expect(sweep.report.removed.full).toEqual({ messages: 1, bytes: 150_000 });
  // All of the last day: full, but nothing may go.
  for (let i = 0; i < 6; i++) store.add(bob, 0.9, 149_000);
  sweepAll(store.sweep());
  expect(store.days(bob)).toEqual([0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5]);
});

it("counts many tiny messages as Dovecot does", () => {
  using store = makeStore();
  for (let i = 0; i < 183; i++) store.add(alice, 2 + i / 100, 100);
  for (let i = 0; i < 182; i++) store.add(bob, 2 + i / 100, 100);
  sweepAll(store.sweep());
  // 75 per cent of 245 are 183.75, of which Dovecot drops the fraction; 70 are 171.5.
  expect(store.days(alice)).toHaveLength(171);
  expect(store.days(bob)).toHaveLength(182);
});

it("counts the ends of lines as Dovecot does, not as they lie on the disk", () => {
  using store = makeStore();
  store.add(alice, 1, 0);
  const folder = join(store.folder, "mail", alice, "mail", "cur");
  for (let i = 1; i <= 5; i++) {
    // Lines of 70 characters: 750,000 bytes in all, 739,435 with LF alone.
    writeFileSync(join(folder, `${now - (i + 1) * DAY}.M1P1.homing,S=147887,W=150000:2,`), "x");
  }
  const sweep = store.sweep();
  sweepAll(sweep);
  expect(sweep.report.removed.full).toEqual({ messages: 1, bytes: 150_000 });
  // A name of another program's making.
  writeFileSync(join(folder, `${now - 9 * DAY}.x,S=123456`), "x");
  expect(store.mailboxes.messages(alice).map(({ size }) => size)).toContain(123_456);
});

it("leaves alone what is no message of an account, and unfinished ones for a day and a half", () => {
  using store = makeStore();
  const mail = join(store.folder, "mail");
  const old = `${now - 90 * DAY}.M1P1.homing,S=5:2,S`;
  for (const folder of [
    "index/x@y.z/.INBOX/cur",
    "lost+found/mail/cur",
    `${alice}/other/cur`,
    `${alice}/mail/cur`,
  ]) {
    mkdirSync(join(mail, folder), { recursive: true });
    writeFileSync(join(mail, folder, folder.startsWith(`${alice}/mail`) ? "dovecot.index" : old), "x");
  }
  for (const days of [1.4, 1.6]) store.add(alice, days, 10, "tmp");
  const sweep = store.sweep();
  sweepAll(sweep);
  expect(store.days(alice)).toEqual([1.4]);
  expect(sweep.report).toMatchObject({
    mailboxes: 1,
    removed: { age: { messages: 0 }, unfinished: { messages: 1 } },
  });
});

it("goes on behind a mailbox that cannot be read or changed, and behind a message that is gone", () => {
  using store = makeStore();
  store.add(alice, 30, 10);
  store.add(bob, 30, 10);
  const sweep = store.sweep();
  const broken = {
    ...sweep,
    mailboxes: {
      ...sweep.mailboxes,
      messages(address: string) {
        if (address === alice) throw Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
        const found = sweep.mailboxes.messages(address);
        // A client deleted it at this moment.
        store.add(address, 31, 10);
        const gone = sweep.mailboxes.messages(address).find(({ stamp }) => stamp === now - 31 * DAY)!;
        rmSync(gone.path);
        return [...found, gone];
      },
    },
  };
  sweepAll(broken);
  expect(store.days(bob)).toEqual([]);
  expect(sweep.report).toMatchObject({ mailboxes: 2, failures: 1, removed: { age: { messages: 1 } } });
  expect(store.log.join("")).toMatch(/^<3>cannot remove what is to go.*EIO/);
});
