/** The account of the canary, from a real list of accounts. */
import { mkdtemp, rm } from "node:fs/promises";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isCanaryAddress } from "../../../appliance/canary.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { createCanaryServer } from "../../../services/auth/canary.ts";
import { matchesInvented } from "../../../services/auth/password.ts";
import { nameRefusal } from "../../../services/auth/rules.ts";
import { type AccountStore, openAccountStore } from "../../../services/auth/store.ts";
import { listenSocket } from "../../../services/lib/listen.ts";
import { createLog } from "../../../services/lib/log.ts";
import { openAccount, openKey, renewAccount } from "../../../services/probe/account.ts";
import { readLetter, writeLetter } from "../../../services/probe/letter.ts";

const domain = "chat.example.org";
const log = createLog(() => {});

describe("the account of the canary", () => {
  let folder: string;
  let socket: string;
  let store: AccountStore;
  let server: Server;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-canary-"));
    socket = join(folder, "canary.sock");
    store = openAccountStore({
      path: join(folder, "accounts.sqlite"),
      writerProgram: new URL("../../../services/auth/store-writer.ts", import.meta.url),
      log,
    });
    server = createCanaryServer({ domain, store, now: () => 1_800_000_000, log });
    await listenSocket(server, { name: "canary", path: socket });
  });
  afterEach(async () => {
    server.close();
    server.closeAllConnections();
    await store.close();
    await rm(folder, { recursive: true });
  });

  it("is made once, gets another password each time it is asked for, and is in no list and no count", async () => {
    const first = await openAccount(folder, socket);
    expect(isCanaryAddress(first.address)).toBe(true);
    expect(await openAccount(folder, socket)).toEqual(first);
    const second = await renewAccount(folder, socket);
    expect(second.address).toBe(first.address);
    const stored = store.findPassword(first.address)!;
    expect(matchesInvented(second.password, stored)).toBe(true);
    expect(matchesInvented(first.password, stored)).toBe(false);
    await store.create(`somebody1@${domain}`, "x", 0);
    expect(store.count()).toBe(1);
    expect([...store.list()].flat().map(({ address }) => address)).toEqual([`somebody1@${domain}`]);
  });

  it("has a name that nobody can sign up for", () => {
    const config = parseRelayConfig(
      `domain = "${domain}"\n[accounts]\nlocal_part_max_length = 64\n`,
      "relay.toml",
    );
    expect(nameRefusal(`homing-canary-0123456789abcdef@${domain}`, config)).toBe("reserved-name");
    expect(nameRefusal(`homing-canaries@${domain}`, config)).toBeUndefined();
  });

  it("has a key that outlives a run, and one that is spoilt is made anew", async () => {
    const key = await openKey(folder);
    const again = await openKey(folder);
    const letter = await writeLetter(`a@${domain}`, key);
    expect(letter.raw).not.toContain(letter.content);
    expect(await readLetter(Buffer.from(letter.raw), again)).toBe(letter.content);
    await rm(join(folder, "key.asc"));
    const other = await openKey(folder);
    await expect(readLetter(Buffer.from(letter.raw), other)).rejects.toThrow();
  });
});
