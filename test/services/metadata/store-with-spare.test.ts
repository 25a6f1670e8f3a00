/** What becomes of tokens and logins while their file cannot be used: on real files, locked, damaged or of another version. */
import { existsSync } from "node:fs";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";
import { type Change, type MetadataStore, openMetadataStore } from "../../../services/metadata/store.ts";
import { openStoreWithSpare } from "../../../services/metadata/store-with-spare.ts";

const day = 86_400;
const now = 1_800_000_000;
const today = now - (now % day);
const address = "abc123xyz@chat.example.org";
const mailbox = "c854a6148b45016b684d000083ecc375";
const token = (name: string, of = address): Change => ({
  kind: "add-token",
  address: of,
  mailbox,
  token: name,
});
const login: Change = { kind: "login", address, time: now };
const gone: Change = { kind: "forget-account", address };

let folder: string;
let path: string;
let sparePath: string;
let problem: string | undefined;
let lines: string[];
let store: MetadataStore;

const openIt = (tryAgainMs = 20): MetadataStore =>
  openStoreWithSpare({
    ...{ path, sparePath, keepTokenDays: 60, now: () => now, tryAgainMs },
    tell: (told) => {
      problem = told;
    },
    log: createLog((line) => void lines.push(line)),
  });
const seen = () => ({ tokens: store.tokensOf(address, now), lastLogin: store.lastLogin(address) });
/** What stands in the file itself. */
const kept = (of = address) => {
  const file = openMetadataStore(path, { keepTokenDays: 60 });
  const found = { tokens: file.tokensOf(of, now), lastLogin: file.lastLogin(of) };
  file.close();
  return found;
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-spare-"));
  [path, sparePath] = [join(folder, "metadata.sqlite"), join(folder, "spare.sqlite")];
  [problem, lines] = [undefined, []];
});
afterEach(async () => {
  store.close();
  await rm(folder, { recursive: true });
});

it("has no spare while the file can be used", () => {
  store = openIt();
  store.apply([token("phone"), login], now);
  expect(seen()).toEqual({ tokens: ["phone"], lastLogin: today });
  store.apply([gone], now);
  expect(seen()).toEqual({ tokens: [], lastLogin: undefined });
  expect([existsSync(sparePath), problem, lines]).toEqual([false, undefined, []]);
});

it.each<[string, () => Promise<void>, RegExp]>([
  ["no database", () => writeFile(path, "not a database".repeat(1000)), /file is not a database/],
  [
    "that of a newer version",
    async () => {
      using newer = new DatabaseSync(path);
      newer.exec("PRAGMA user_version = 99");
    },
    /written by a newer Homing/,
  ],
])(
  "takes tokens and logins when the file is %s, and hands them over when it can be used",
  async (_what, spoil, why) => {
    await spoil();
    store = openIt();
    store.apply([token("phone"), login], now);
    expect(store.tokensOf(address, now)).toEqual(["phone"]);
    expect(store.count(now, [1])).toEqual({ tokens: 1, active: [] });
    // Nobody must take those for idle whose logins stand in the file, nor a name for free whose tokens do.
    expect(() => store.lastLogin("other0000@chat.example.org")).toThrow(why);
    expect(() => store.apply([gone], now)).toThrow(why);
    expect(store.tokensOf(address, now)).toEqual(["phone"]);
    expect(problem).toMatch(why);
    expect(lines.length).toBe(1);
    await rm(path);
    await expect.poll(() => problem).toBeUndefined();
    expect(seen()).toEqual({ tokens: ["phone"], lastLogin: today });
    expect(kept()).toEqual(seen());
    expect(existsSync(sparePath)).toBe(false);
  },
);

it("goes on reading a file that takes no changes, beside those it takes itself", async () => {
  store = openIt();
  store.apply([token("phone"), { ...login, time: now - 9 * day }], now);
  using other = new DatabaseSync(path);
  other.exec("BEGIN IMMEDIATE");
  store.apply([token("tablet"), login], now);
  expect(seen()).toEqual({ tokens: ["phone", "tablet"], lastLogin: today });
  expect(() => store.apply([gone], now)).toThrow(/locked/);
  // The status page has words of its own for a disk that takes no more.
  expect([problem, lines.length]).toEqual([undefined, 1]);
  other.exec("ROLLBACK");
  await expect.poll(() => existsSync(sparePath)).toBe(false);
  expect(kept()).toEqual({ tokens: ["phone", "tablet"], lastLogin: today });
});

it("leaves a file in whose midst it finds damage", async () => {
  const whole = openMetadataStore(path, { keepTokenDays: 60 });
  whole.apply([token("phone"), login], now);
  whole.close();
  await using file = await open(path, "r+");
  const pageBytes = 4096;
  const { size } = await file.stat();
  await file.write(Buffer.alloc(size - pageBytes, 0xff), 0, size - pageBytes, pageBytes);
  store = openIt();
  expect(problem).toBeUndefined();
  expect(store.tokensOf(address, now)).toEqual([]);
  store.apply([token("tablet")], now);
  expect(store.tokensOf(address, now)).toEqual(["tablet"]);
  expect(() => store.lastLogin(address)).toThrow(/malformed/);
  expect(problem).toContain(path);
});

it("hands over what an earlier process took", () => {
  const spare = openMetadataStore(sparePath, { keepTokenDays: 60 });
  spare.apply([token("phone"), login], now);
  spare.close();
  store = openIt();
  expect(kept()).toEqual({ tokens: ["phone"], lastLogin: today });
  expect(existsSync(sparePath)).toBe(false);
});

it("forgets the tokens of a file that comes back when nobody is to be woken any more", async () => {
  const whole = openMetadataStore(path, { keepTokenDays: 60 });
  whole.apply([token("phone")], now);
  whole.close();
  using other = new DatabaseSync(path);
  other.exec("BEGIN IMMEDIATE");
  store = openIt();
  store.forgetAllTokens();
  expect(kept().tokens).toEqual(["phone"]);
  other.exec("ROLLBACK");
  await expect.poll(() => kept().tokens).toEqual([]);
});
