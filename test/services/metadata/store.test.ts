import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Change, type MetadataStore, openMetadataStore } from "../../../services/metadata/store.ts";

const day = 86_400;
const now = 1_800_000_000;
const address = "abc123xyz@chat.example.org";
const mailbox = "c854a6148b45016b684d000083ecc375";
const token = (name: string): Change => ({ kind: "add-token", address, mailbox, token: name });

describe("metadata store", () => {
  let folder: string;
  let store: MetadataStore;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-metadata-"));
    store = openMetadataStore(join(folder, "metadata.sqlite"), { keepTokenDays: 60 });
  });
  afterEach(async () => {
    store.close();
    await rm(folder, { recursive: true });
  });

  it("keeps a token per device, and a token set again only once", () => {
    store.apply([token("phone"), token("tablet"), token("phone")], now);
    expect(store.tokens(address, mailbox, now)).toEqual(["phone", "tablet"]);
    expect(store.tokens("other@chat.example.org", mailbox, now)).toEqual([]);
  });

  it("forgets a token that was not renewed for as long as the settings say", () => {
    store.apply([token("lost"), token("kept")], now);
    store.apply([token("kept")], now + 40 * day);
    expect(store.tokens(address, mailbox, now + 59 * day)).toEqual(["lost", "kept"]);
    expect(store.tokens(address, mailbox, now + 61 * day)).toEqual(["kept"]);
  });

  it("keeps the newest 32 tokens of an account, the one just set always among them", () => {
    for (let i = 0; i < 40; i++) store.apply([token(`z${String(99 - i)}`)], now + i * day);
    const kept = store.tokens(address, mailbox, now + 40 * day);
    expect(kept).toHaveLength(32);
    expect(kept.at(-1)).toBe("z60");
    expect(kept[0]).toBe("z91");
    for (let i = 0; i < 40; i++) {
      store.apply([token(`same-day-${i}`)], now + 41 * day);
      expect(store.tokens(address, mailbox, now + 41 * day)).toContain(`same-day-${i}`);
    }
    expect(store.tokens(address, mailbox, now + 41 * day)).toHaveLength(32);
  });

  it("forgets the tokens of one mailbox only", () => {
    const other = "60ae03168b45016b684d000083ecc375";
    store.apply([token("phone"), { kind: "add-token", address, mailbox: other, token: "odd" }], now);
    store.apply([{ kind: "forget-tokens", address, mailbox: other }], now);
    expect(store.tokens(address, mailbox, now)).toEqual(["phone"]);
    expect(store.tokens(address, other, now)).toEqual([]);
  });

  it("forgets all of an account that is gone, and nothing of others, with somebody in the midst of reading", async () => {
    const other = "other0000@chat.example.org";
    const login = (of: string): Change => ({ kind: "login", address: of, time: now });
    const otherToken: Change = { kind: "add-token", address: other, mailbox, token: "others" };
    store.apply([token("phone"), login(address), login(other), otherToken], now);
    using reader = new DatabaseSync(join(folder, "metadata.sqlite"), { readOnly: true });
    reader.exec("BEGIN");
    expect(reader.prepare("SELECT count(*) AS count FROM last_logins").get()).toEqual({ count: 2 });
    store.apply([{ kind: "forget-account", address }], now);
    // As after a power cut.
    const copy = join(folder, "copy.sqlite");
    for (const end of ["", "-wal"]) await copyFile(join(folder, `metadata.sqlite${end}`), copy + end);
    const later = openMetadataStore(copy, { keepTokenDays: 60 });
    for (const one of [store, later]) {
      expect(one.tokens(address, mailbox, now)).toEqual([]);
      expect(one.lastLogin(address)).toBeUndefined();
      expect(one.tokens(other, mailbox, now)).toEqual(["others"]);
      expect(one.lastLogin(other)).toBeDefined();
    }
    later.close();
  });

  it("keeps the day of the last login, also when a wrong clock ran ahead before", () => {
    expect(store.lastLogin(address)).toBeUndefined();
    store.apply([{ kind: "login", address, time: now + 5000 * day }], now);
    store.apply([{ kind: "login", address, time: now }], now);
    expect(store.lastLogin(address)).toBe(Math.floor(now / day) * day);
  });

  it("keeps the later day of login when the clock is behind", () => {
    store.apply([{ kind: "login", address, time: now }], now);
    store.apply([{ kind: "login", address, time: now - 60 * day }], now);
    expect(store.lastLogin(address)).toBe(Math.floor(now / day) * day);
  });

  it("knows since when it notes logins: not since before it was moved aside, or made by an older version", async () => {
    const today = () => Math.floor(Date.now() / 1000 / day) * day;
    const before = today();
    const made = [store.loginsSince()];
    const path = join(folder, "older.sqlite");
    openMetadataStore(path, { keepTokenDays: 60 }).close();
    const older = new DatabaseSync(path);
    older.exec("DROP TABLE logins_since; PRAGMA user_version = 2");
    older.close();
    const newer = openMetadataStore(path, { keepTokenDays: 60 });
    made.push(newer.loginsSince());
    newer.close();
    for (const since of made) expect([before, today()]).toContain(since);
  });

  it("counts tokens that have not expired, and people by the day of their last login", () => {
    const login = (of: string, daysAgo: number): Change => ({
      ...{ kind: "login", address: `${of}@chat.example.org`, time: now - daysAgo * day },
    });
    store.apply([token("phone"), token("tablet")], now - 70 * day);
    store.apply([token("phone")], now);
    const logins = [login("a", 0), login("b", 1), login("c", 6), login("d", 29), login("e", 31)];
    store.apply([...logins, login("homing-canary-abc", 0)], now);
    expect(store.count(now, [1, 7, 30])).toEqual({ tokens: 1, active: [1, 3, 4] });
    store.forgetExpired(now);
    expect(store.tokens(address, mailbox, now - 70 * day)).toEqual(["phone"]);
  });

  it("knows and forgets a token whoever has it", () => {
    const other = "other0000@chat.example.org";
    store.apply([token("phone"), { kind: "add-token", address: other, mailbox, token: "phone" }], now);
    expect(store.tokensOf(other, now)).toEqual(["phone"]);
    expect([store.hasToken("phone", now), store.hasToken("phone", now + 61 * day)]).toEqual([true, false]);
    store.forgetToken("phone");
    expect(store.hasToken("phone", now)).toBe(false);
    expect(store.tokensOf(address, now)).toEqual([]);
  });

  it("makes all changes of a transaction or none", () => {
    const broken = { kind: "login", address: null, time: now } as unknown as Change;
    expect(() => store.apply([token("phone"), broken], now)).toThrow(/NOT NULL/);
    expect(store.tokens(address, mailbox, now)).toEqual([]);
    store.apply([token("phone")], now);
    expect(store.tokens(address, mailbox, now)).toEqual(["phone"]);
  });
});
