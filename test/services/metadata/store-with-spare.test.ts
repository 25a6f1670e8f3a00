/** What becomes of tokens and logins while their file cannot be used: on real files, locked, damaged or of another version. */
import fs, { existsSync, statSync } from "node:fs";
import { mkdtemp, open, readdir, rm, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
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
const noToken: Change = { kind: "forget-tokens", address, mailbox };
const login: Change = { kind: "login", address, time: now };
const gone: Change = { kind: "forget-account", address };

let folder: string;
let path: string;
let sparePath: string;
let problem: string | undefined;
/** So often the problem was told, or that there is none. */
let tells: number;
let lines: string[];
let store: MetadataStore;

const openIt = (tryAgainMs = 20): MetadataStore =>
  openStoreWithSpare({
    ...{ path, sparePath, keepTokenDays: 60, now: () => now, tryAgainMs },
    tell: (told) => {
      problem = told;
      tells += 1;
    },
    log: createLog((line) => void lines.push(line)),
  });
const seen = () => ({ tokens: store.tokensOf(address), lastLogin: store.lastLogin(address) });
/** What stands in the file itself. */
const kept = (of = address) => {
  const file = openMetadataStore(path, { keepTokenDays: 60 });
  const found = { tokens: file.tokensOf(of), lastLogin: file.lastLogin(of) };
  file.close();
  return found;
};

/** Returns the one before. */
const setVersion = (version: number): number => {
  using file = new DatabaseSync(path);
  const found = file.prepare("PRAGMA user_version").get()!.user_version;
  file.exec(`PRAGMA user_version = ${version}`);
  return Number(found);
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-spare-"));
  [path, sparePath] = [join(folder, "metadata.sqlite"), join(folder, "spare.sqlite")];
  [problem, tells, lines] = [undefined, 0, []];
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
    expect(store.tokensOf(address)).toEqual(["phone"]);
    expect(store.count(now, [1])).toEqual({ tokens: 1, active: [] });
    // Nobody must take those for idle whose logins stand in the file, nor a name for free whose tokens do.
    expect(() => store.lastLogin("other0000@chat.example.org")).toThrow(why);
    expect(() => store.apply([gone], now)).toThrow(why);
    expect(store.tokensOf(address)).toEqual(["phone"]);
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

it("does not take a file for usable again that takes no changes, where there is nothing to hand over", async () => {
  store = openIt();
  using other = new DatabaseSync(path);
  other.exec("BEGIN IMMEDIATE");
  store.forgetExpired(now);
  await expect.poll(() => tells, { timeout: 5_000 }).toBeGreaterThan(3);
  store.forgetExpired(now);
  expect([lines.length, existsSync(sparePath)]).toEqual([1, true]);
  other.exec("ROLLBACK");
  await expect.poll(() => existsSync(sparePath)).toBe(false);
  expect(lines[1]).toContain("can be used again");
});

it("finds out whether a file takes changes by one that leaves it as it is", () => {
  const file = openMetadataStore(path, { keepTokenDays: 60 });
  store = file;
  file.apply([token("phone")], now);
  const written = () => statSync(`${path}-wal`).size;
  const before = [written(), file.all()];
  file.tryWriting();
  expect(written()).toBeGreaterThan(Number(before[0]));
  expect(file.all()).toEqual(before[1]);
});

it("has what is removed from a file that takes no changes gone at once, over a restart, and for good", async () => {
  const others = "other0000@chat.example.org";
  store = openIt();
  store.apply([token("phone"), token("tablet"), token("unknown to the proxy", others)], now);
  store.apply([token("kept", others)], now);
  using other = new DatabaseSync(path);
  other.exec("BEGIN IMMEDIATE");
  store.apply([noToken], now);
  store.apply([{ kind: "forget-token", token: "unknown to the proxy" }], now);
  const seenOf = () => ({
    tokens: [store.tokensOf(address), store.tokens(address, mailbox), store.tokensOf(others)],
    known: ["phone", "unknown to the proxy", "kept"].map(store.hasToken),
    account: store.accountOf("tablet"),
  });
  const expected = { tokens: [[], [], ["kept"]], known: [false, false, true], account: undefined };
  expect(seenOf()).toEqual(expected);
  store.apply([token("tablet")], now);
  expect(store.tokensOf(address)).toEqual(["tablet"]);
  store.apply([noToken], now);
  store.close();
  store = openIt();
  expect(seenOf()).toEqual(expected);
  store.apply([token("phone")], now);
  other.exec("ROLLBACK");
  await expect.poll(() => existsSync(sparePath)).toBe(false);
  expect([kept().tokens, kept(others).tokens]).toEqual([["phone"], ["kept"]]);
  expect(await readdir(folder)).not.toContain("spare.sqlite.removed");
});

it("keeps so many tokens in memory and no more, and those of whoever has few", async () => {
  await writeFile(path, "not a database".repeat(1000));
  store = openIt();
  store.apply([token("phone")], now);
  for (let account = 0; account < 70; account++) {
    const tokens = Array.from({ length: 32 }, (_, i) =>
      token(`${account}-${i}`, `a${account}@chat.example.org`),
    );
    store.apply(tokens, now);
  }
  const late = "late00000@chat.example.org";
  store.apply([token("tablet", late)], now);
  expect(store.count(now, []).tokens).toBe(2000);
  expect([store.tokensOf(address), store.tokensOf(late)]).toEqual([["phone"], ["tablet"]]);
  expect(store.tokensOf("a69@chat.example.org")).toContain("69-31");
});

it("removes nothing a second time when it is killed while it clears away what it noted in memory", async () => {
  store = openIt();
  store.apply([token("phone")], now);
  using other = new DatabaseSync(path);
  other.exec("BEGIN IMMEDIATE");
  store.apply([noToken], now);
  store.apply([token("phone")], now);
  store.close();
  other.exec("ROLLBACK");
  const remove = fs.rmSync;
  const killed = vi.spyOn(fs, "rmSync").mockImplementationOnce(remove);
  killed.mockImplementation(() => {
    throw new Error("killed");
  });
  syncBuiltinESMExports();
  try {
    expect(() => openIt()).toThrow("killed");
  } finally {
    killed.mockRestore();
    syncBuiltinESMExports();
  }
  const version = setVersion(99);
  store = openIt();
  expect(problem).toMatch(/newer Homing/);
  setVersion(version);
  await expect.poll(() => problem, { timeout: 5_000 }).toBeUndefined();
  expect(kept().tokens).toEqual(["phone"]);
});

it("removes later from a file that could not even be read, and takes no more to remove than it has room for", async () => {
  const whole = openMetadataStore(path, { keepTokenDays: 60 });
  whole.apply([token("phone"), token("other's", "other0000@chat.example.org")], now);
  whole.close();
  const version = setVersion(99);
  store = openIt();
  store.apply([noToken], now);
  const someMailbox = (i: number, of = address): Change => {
    return { kind: "forget-tokens", address: of, mailbox: String(i).padStart(32, "0") };
  };
  const many = (count: number) => Array.from({ length: count }, (_, i) => i);
  store.apply(
    many(7).map((i) => someMailbox(i)),
    now,
  );
  expect(() => store.apply([someMailbox(7)], now)).toThrow(/too much is to be removed/);
  // Nobody else's client stops for that, nor one that says it again.
  store.apply([noToken, someMailbox(0), someMailbox(0, "third0000@chat.example.org")], now);
  store.apply(
    many(1000).map((i) => ({ kind: "forget-token", token: `invented ${i}` })),
    now,
  );
  store.apply([someMailbox(0, "fourth000@chat.example.org")], now);
  store.apply([{ kind: "forget-token", token: "other's" }], now);
  setVersion(version);
  await expect.poll(() => existsSync(sparePath)).toBe(false);
  expect([kept().tokens, kept("other0000@chat.example.org").tokens]).toEqual([[], ["other's"]]);
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
  expect(store.tokensOf(address)).toEqual([]);
  store.apply([token("tablet")], now);
  expect(store.tokensOf(address)).toEqual(["tablet"]);
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
