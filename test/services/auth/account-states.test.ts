/** Accounts that the operator blocks and that are being deleted: for those who log in, who write, and who ask for them. */
import type { Server } from "node:http";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ListedAccount } from "../../../appliance/account-states.ts";
import { countAccounts } from "../../../services/auth/account-counts.ts";
import { createAccountRequests } from "../../../services/auth/account-requests.ts";
import type { HashQueue } from "../../../services/auth/hash-queue.ts";
import { hashToken } from "../../../services/auth/invites.ts";
import { askerOf } from "../../../services/auth/lost-answer.ts";
import { hashInvented } from "../../../services/auth/password.ts";
import { createReaperServer } from "../../../services/auth/reaper-server.ts";
import { createCounters } from "../../../services/lib/counters.ts";
import { listenSocket } from "../../../services/lib/listen.ts";
import { createLog } from "../../../services/lib/log.ts";
import { home, openStore, useAccounts, user } from "./running-accounts.ts";

const right = { user, password: "long-password", address: home };
const wrong = { user, password: "wrong-password", address: home };
const made = { kind: "ok", created: true };
const welcome = { kind: "ok", created: false };
const mismatch = { kind: "mismatch" };
const log = createLog(() => {});

describe("the accounts", () => {
  const at = useAccounts();

  it("are counted by state", async () => {
    const counters = createCounters({ path: `${at.path}.prom`, log });
    for (const name of ["one", "two", "three"]) await at.store.create(`${name}@a.test`, "hash", 0);
    await at.store.setState("two@a.test", "leaving");
    countAccounts({ counters, store: at.store, log }).stop();
    expect(counters.text().split("\n").slice(2, -1)).toEqual([
      'homing_accounts{state="active"} 2',
      'homing_accounts{state="blocked"} 0',
      'homing_accounts{state="leaving"} 1',
    ]);
    await counters.close();
  });
});

describe("an account that is blocked", () => {
  const at = useAccounts();

  it("lets nobody in, says why for the log alone, gets no mail, and goes on when it is unblocked", async () => {
    const accounts = at.create();
    expect(await accounts.verify(right)).toEqual(made);
    expect(await at.store.setState(user, "blocked")).toBe(true);
    // Remembered as right a moment ago: that does not count.
    expect(await accounts.verify(right)).toEqual({ kind: "blocked" });
    expect(await accounts.verify(wrong)).toEqual(mismatch);
    expect(accounts.exists(user)).toBe(false);
    expect(accounts.hasMailbox(user)).toBe(true);
    expect(await at.store.setState(user, "active")).toBe(true);
    expect(await accounts.verify(right)).toEqual(welcome);
    expect(accounts.exists(user)).toBe(true);
  });

  it("tells from then on when it was unblocked, and never when it was not", async () => {
    const [before, later] = [1_800_000_123, 1_810_000_000];
    await at.store.create(user, "hash", before);
    await at.store.setState(user, "active", later);
    await at.store.setState(user, "blocked", later);
    const made = { address: user, createdDay: 1_799_971_200 };
    expect(at.store.findListed(user)).toEqual({ ...made, state: "blocked" });
    await at.store.setState(user, "active", later);
    const unblocked = { ...made, state: "active", unblockedDay: 1_809_993_600 };
    expect(at.store.findListed(user)).toEqual(unblocked);
    await at.store.setState(user, "blocked", later + 100 * 86_400);
    expect([...at.store.list()].flat()).toEqual([{ ...unblocked, state: "blocked" }]);
  });

  it("is so for a login whose password is being compared just then", async () => {
    await at.create().verify(right);
    const queue: HashQueue = {
      run: async (_kind, _network, work) => {
        const result = await work();
        await at.store.setState(user, "blocked");
        return result;
      },
    };
    expect(await at.create("", { queue }).verify(right)).toEqual({ kind: "blocked" });
  });

  it("stays so over a restart, with the password that the relay invented too", async () => {
    await at.store.create(user, hashInvented("long-password"), 0);
    await at.store.setState(user, "blocked");
    await at.store.close();
    at.store = openStore(at.path);
    expect(await at.create().verify(right)).toEqual({ kind: "blocked" });
  });

  it("is not given to whoever brings its invitation again", async () => {
    const { token } = (await at.store.invites.create({ uses: 2, expires: null, note: "" }, 0))!;
    const use = (now: number) => ({ tokenHash: hashToken(token), asker: askerOf(token, home), now });
    const others = ["bbb123xyz@chat.example.org", "ccc123xyz@chat.example.org"] as const;
    const make = (address: string, now: number) =>
      at.store.createInvited({ address, passwordHash: hashInvented("long-password") }, use(now));
    expect(await make(user, 10)).toEqual({ made: user });
    expect(await make(others[0], 10)).toEqual({ made: others[0] });
    await at.store.setState(user, "blocked");
    expect(await make(others[1], 10_000)).toEqual({ made: others[0] });
    await at.store.setState(others[0], "leaving");
    expect(await make(others[1], 20_000)).toBe("no-invite");
  });
});

describe("an account that is leaving", () => {
  const at = useAccounts();

  it("is unknown to everybody, and its name is nobody's until it is forgotten", async () => {
    const accounts = at.create();
    expect(await accounts.verify(right)).toEqual(made);
    expect(await at.store.forget(user)).toBe(false);
    expect(await at.store.setState(user, "leaving")).toBe(true);
    expect(await accounts.verify(right)).toEqual(mismatch);
    expect(await accounts.verify(wrong)).toEqual(mismatch);
    expect(await at.create().verify(right)).toEqual(mismatch);
    expect(await at.store.create(user, "another hash", 0)).toBe(false);
    expect(accounts.exists(user)).toBe(false);
    expect(accounts.hasMailbox(user)).toBe(true);
    // No way leads back.
    expect(await at.store.setState(user, "active")).toBe(false);
    expect(await at.store.setState(user, "blocked")).toBe(false);
    expect(at.store.findState(user)).toBe("leaving");
    expect(await at.store.forget(user)).toBe(true);
    expect(await at.store.forget(user)).toBe(false);
    expect(accounts.hasMailbox(user)).toBe(false);
    expect(await accounts.verify({ ...right, password: "anothers-password" })).toEqual(made);
  });
});

describe("the socket of the reaper", () => {
  const at = useAccounts();
  let server: Server;
  let socketPath: string;
  beforeEach(async () => {
    socketPath = join(dirname(at.path), "reaper.sock");
    const accounts = createAccountRequests({ domain: "chat.example.org", store: at.store, log });
    server = createReaperServer({ accounts, log });
    await listenSocket(server, { name: "reaper", path: socketPath });
  });
  afterEach(() => {
    server.close();
    server.closeAllConnections();
  });

  const ask = (line: string) =>
    new Promise<{ status: number; text: string }>((resolve, reject) => {
      const [method, path] = line.split(" ");
      const call = request({ socketPath, method, path }, async (response) => {
        try {
          let text = "";
          for await (const piece of response) text += piece;
          resolve({ status: response.statusCode ?? 0, text });
        } catch (cause) {
          reject(cause);
        }
      });
      call.on("error", reject);
      call.end();
    });

  it("lists all accounts, each once and in order", async () => {
    const names = Array.from({ length: 1_234 }, (_, i) => `user${`${i}`.padStart(5, "0")}@chat.example.org`);
    await Promise.all(names.map((name) => at.store.create(name, "hash", 1_800_000_123)));
    await at.store.setState(names[7]!, "blocked");
    const { status, text } = await ask("GET /accounts");
    expect(status).toBe(200);
    const listed = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as ListedAccount);
    expect(listed.map(({ address }) => address)).toEqual(names);
    expect(listed.slice(6, 8)).toEqual([
      { address: names[6], createdDay: 1_799_971_200, state: "active" },
      { address: names[7], createdDay: 1_799_971_200, state: "blocked" },
    ]);
  });

  it("takes an account away in two steps, and nothing else", async () => {
    await at.store.create(user, "hash", 0);
    const path = `/accounts/${encodeURIComponent(user)}`;
    const left = { address: user, createdDay: 0, state: "leaving" };
    expect((await ask(`DELETE ${path}`)).status).toBe(409);
    expect(JSON.parse((await ask(`GET ${path}`)).text)).toEqual({ ...left, state: "active" });
    for (const line of [`POST ${path}/block`, `POST ${path}/unblock`, `PUT ${path}`])
      expect((await ask(line)).status, line).toBe(404);
    for (const line of ["POST /accounts", "GET /accounts?x", "GET /sign-up", "POST /accounts/%ff/leave"])
      expect((await ask(line)).status, line).toBe(404);
    expect((await ask("POST /accounts/abc123xyz@other.example/leave")).status).toBe(400);
    expect((await ask("POST /accounts/abc123xyy@chat.example.org/leave")).status).toBe(404);
    expect(at.store.findState(user)).toBe("active");
    expect(JSON.parse((await ask(`POST ${path}/leave`)).text)).toEqual(left);
    // Again, after a crash of the reaper.
    expect((await ask(`POST ${path}/leave`)).status).toBe(200);
    expect(JSON.parse((await ask(`DELETE ${path}`)).text)).toEqual(left);
    expect(at.store.findPassword(user)).toBeUndefined();
    expect((await ask(`DELETE ${path}`)).status).toBe(404);
  });
});
