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
    expect(store.tokens(address, mailbox)).toEqual(["phone", "tablet"]);
    expect(store.tokens("other@chat.example.org", mailbox)).toEqual([]);
  });

  /** A look through the tokens on each of these days, as counted from `now`. */
  const lookOn = (from: number, to: number): void => {
    for (let days = from; days <= to; days++) store.forgetExpired(now + days * day);
  };
  const kept = () => store.tokens(address, mailbox);

  it("forgets a token that was not renewed for as long as the settings say", () => {
    lookOn(0, 0);
    store.apply([token("lost"), token("kept")], now);
    lookOn(0, 40);
    store.apply([token("kept")], now + 40 * day);
    lookOn(40, 59);
    expect(kept()).toEqual(["lost", "kept"]);
    lookOn(60, 60);
    expect(kept()).toEqual(["kept"]);
    lookOn(61, 100);
    expect(kept()).toEqual([]);
  });

  it("keeps tokens through a long pause of the relay, also those told before a time server set the clock", () => {
    lookOn(0, 0);
    store.apply([token("phone")], now);
    lookOn(1, 10);
    // Its clock goes on where it stopped, or begins at the day of its image.
    store.apply([token("tablet")], now + 10 * day);
    store.apply([token("laptop")], now - 300 * day);
    lookOn(310, 358);
    expect(kept()).toHaveLength(3);
    // The phone's eleventh day was the first one after the pause.
    lookOn(359, 359);
    expect(kept()).toEqual(["laptop", "tablet"]);
    lookOn(360, 368);
    expect(kept()).toHaveLength(2);
    lookOn(369, 370);
    expect(kept()).toEqual([]);
  });

  it.each([
    ["ahead", 4000],
    ["behind", -4000],
  ])("forgets nothing by a clock that is years %s, nor afterwards", (_, wrong) => {
    lookOn(0, 0);
    store.apply([token("phone")], now);
    lookOn(wrong, wrong);
    store.apply([token("tablet")], now + wrong * day);
    lookOn(1, 1);
    expect(kept()).toEqual(["phone", "tablet"]);
    // Nor is it a reason to keep them for years.
    lookOn(2, 70);
    expect(kept()).toEqual([]);
  });

  it("takes what was noted before the first look for noted on that day", () => {
    store.apply([token("phone")], now - 500 * day);
    lookOn(0, 59);
    expect(kept()).toEqual(["phone"]);
    lookOn(60, 60);
    expect(kept()).toEqual([]);
  });

  it("keeps the newest 32 tokens of an account, the one just set always among them", () => {
    for (let i = 0; i < 40; i++) store.apply([token(`z${String(99 - i)}`)], now + i * day);
    const kept = store.tokens(address, mailbox);
    expect(kept).toHaveLength(32);
    expect(kept.at(-1)).toBe("z60");
    expect(kept[0]).toBe("z91");
    for (let i = 0; i < 40; i++) {
      store.apply([token(`same-day-${i}`)], now + 41 * day);
      expect(store.tokens(address, mailbox)).toContain(`same-day-${i}`);
    }
    expect(store.tokens(address, mailbox)).toHaveLength(32);
  });

  it("forgets the tokens of one mailbox only", () => {
    const other = "60ae03168b45016b684d000083ecc375";
    store.apply([token("phone"), { kind: "add-token", address, mailbox: other, token: "odd" }], now);
    store.apply([{ kind: "forget-tokens", address, mailbox: other }], now);
    expect(store.tokens(address, mailbox)).toEqual(["phone"]);
    expect(store.tokens(address, other)).toEqual([]);
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
      expect(one.tokens(address, mailbox)).toEqual([]);
      expect(one.lastLogin(address)).toBeUndefined();
      expect(one.tokens(other, mailbox)).toEqual(["others"]);
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
    older.exec(
      `DROP TABLE logins_since; ALTER TABLE device_tokens DROP COLUMN taken;
      DROP TABLE tokens_looked_at; PRAGMA user_version = 2`,
    );
    older.close();
    const newer = openMetadataStore(path, { keepTokenDays: 60 });
    made.push(newer.loginsSince());
    newer.close();
    for (const since of made) expect([before, today()]).toContain(since);
  });

  it("counts tokens, and people by the day of their last login", () => {
    const login = (of: string, daysAgo: number): Change => ({
      ...{ kind: "login", address: `${of}@chat.example.org`, time: now - daysAgo * day },
    });
    store.apply([token("phone"), token("tablet")], now);
    const logins = [login("a", 0), login("b", 1), login("c", 6), login("d", 29), login("e", 31)];
    store.apply([...logins, login("homing-canary-abc", 0)], now);
    expect(store.count(now, [1, 7, 30])).toEqual({ tokens: 2, active: [1, 3, 4] });
  });

  it("knows and forgets a token whoever has it", () => {
    const other = "other0000@chat.example.org";
    store.apply([token("phone"), { kind: "add-token", address: other, mailbox, token: "phone" }], now);
    expect(store.tokensOf(other)).toEqual(["phone"]);
    expect([store.hasToken("phone"), store.hasToken("tablet")]).toEqual([true, false]);
    store.apply([{ kind: "forget-token", token: "phone" }], now);
    expect(store.hasToken("phone")).toBe(false);
    expect(store.tokensOf(address)).toEqual([]);
  });

  it("knows whether the proxy took a token, also when it is renewed", () => {
    store.apply([token("phone"), token("tablet")], now);
    expect(["phone", "tablet", "nobody's"].map(store.wasTaken)).toEqual([false, false, false]);
    for (const name of ["phone", "nobody's"]) store.noteTaken(name, true);
    store.apply([token("phone")], now + day);
    expect(["phone", "tablet", "nobody's"].map(store.wasTaken)).toEqual([true, false, false]);
    store.noteTaken("phone", false);
    expect(store.wasTaken("phone")).toBe(false);
  });

  it("makes all changes of a transaction or none", () => {
    const broken = { kind: "login", address: null, time: now } as unknown as Change;
    expect(() => store.apply([token("phone"), broken], now)).toThrow(/NOT NULL/);
    expect(store.tokens(address, mailbox)).toEqual([]);
    store.apply([token("phone")], now);
    expect(store.tokens(address, mailbox)).toEqual(["phone"]);
  });
});
