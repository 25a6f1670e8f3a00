/** What the reaper asks the account service, the metadata service and Dovecot: the first two are the real ones. */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ListedAccount } from "../../../appliance/account-states.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { createAccountRequests } from "../../../services/auth/account-requests.ts";
import { createReaperServer } from "../../../services/auth/reaper-server.ts";
import { createLog } from "../../../services/lib/log.ts";
import { createDictionary } from "../../../services/metadata/dictionary.ts";
import { serveSession } from "../../../services/metadata/session.ts";
import { openMetadataStore } from "../../../services/metadata/store.ts";
import { createAccountList } from "../../../services/reaper/account-list.ts";
import { createLastLogins } from "../../../services/reaper/last-logins.ts";
import { readConnected } from "../../../services/reaper/sessions.ts";
import { openStore } from "../auth/running-accounts.ts";
import { DAY, now } from "./store.ts";

const log = createLog(() => {});
let folder: string;
let servers: Pick<Server, "close">[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-reaper-"));
  servers = [];
});
afterEach(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

async function listen(server: Server): Promise<string> {
  const path = join(folder, "socket");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  servers.push(server);
  return path;
}

it("lists accounts, lets them leave and forgets them", async () => {
  const store = openStore(join(folder, "accounts.sqlite"));
  const names = Array.from({ length: 300 }, (_, i) => `name${i}`.padEnd(9, "x"));
  await Promise.all(names.map((name) => store.create(`${name}@_a.test`, "hash", now)));
  const path = await listen(
    createReaperServer({ accounts: createAccountRequests({ domain: "_a.test", store, log }), log }),
  );
  const accounts = createAccountList(path);
  const list = async () => {
    const all: ListedAccount[] = [];
    for await (const account of accounts.list()) all.push(account);
    return all;
  };
  const [first, second] = [`${names[0]}@_a.test`, `${names[1]}@_a.test`];
  await accounts.leave(first);
  await expect(accounts.forget(second)).rejects.toThrow(/answers 409 to a DELETE/);
  const listed = await list();
  expect(listed).toHaveLength(300);
  expect(listed.filter(({ state }) => state === "leaving").map(({ address }) => address)).toEqual([first]);
  await accounts.forget(first);
  expect(await list()).toHaveLength(299);
  expect([await accounts.has(first), await accounts.has(second)]).toEqual([false, true]);
  // Gone already: nothing is left to do.
  await accounts.forget(first);
  await store.close();
});

it("says that the account service is not there", async () => {
  const accounts = createAccountList(join(folder, "nobody"));
  await expect(accounts.list()[Symbol.asyncIterator]().next()).rejects.toThrow(
    /the account service cannot be asked.*ENOENT/,
  );
});

it("reads last logins by the thousand, notes some, and has accounts forgotten", async () => {
  const store = openMetadataStore(join(folder, "metadata.sqlite"), { keepTokenDays: 90 });
  const config = parseRelayConfig(`domain = "_a.test"`, "relay.toml");
  const dictionary = createDictionary({ turn: () => undefined, config, store, now: () => now });
  const lastLogins = createLastLogins(
    await listen(createServer((socket) => serveSession(socket, { dictionary, log }))),
  );
  const addresses = Array.from({ length: 1000 }, (_, i) => `name${i}@_a.test`);
  const known = addresses.filter((_, i) => i % 3 === 0);
  store.apply(
    known.map((address) => ({ kind: "login", address, time: now })),
    now,
  );
  const days = await lastLogins.read(addresses);
  const today = Math.floor(now / DAY) * DAY;
  expect(days).toEqual(addresses.map((_, i) => (i % 3 === 0 ? today : undefined)));
  expect(await lastLogins.since()).toBe(store.loginsSince());
  await lastLogins.note(addresses.slice(0, 200), now + DAY + 0.5);
  expect((await lastLogins.read(addresses)).filter((day) => day === today + DAY)).toHaveLength(200);
  await lastLogins.forget(addresses.slice(0, 500));
  expect((await lastLogins.read(addresses)).filter((day) => day !== undefined)).toHaveLength(167);
  store.close();
});

describe("Dovecot", () => {
  /** Says what was recorded of Dovecot 2.4.1. */
  const serve = (greeting: string, answer: string) =>
    listen(
      createServer((socket: Socket) => {
        socket.on("error", () => {});
        socket.once("data", () => {
          socket.write(greeting);
          socket.on("data", (command) => socket.end(String(command) === "\t\twho\n" ? answer : "-NOUSER\n"));
        });
      }),
    );

  it("says who is connected", async () => {
    const two = "b@_a.test\t1\timap\t(615)\t(127.0.0.1)\ta@_a.test\t2\timap\t(614 617)\t(10.0.0.1)\t\n+\n";
    expect(await readConnected(await serve("+\n", two))).toEqual(new Set(["a@_a.test", "b@_a.test"]));
  });

  it("says that nobody is", async () => {
    expect(await readConnected(await serve("+\n", "\n+\n"))).toEqual(new Set());
  });

  it.each([
    ["wants a password", "-\n", "", /wants a password/],
    ["refuses", "+\n", "\n-NOPERM\n", /cannot say who is connected: -NOPERM/],
    ["goes away", "+\n", "a@_a.test\t1\timap", /ended the connection/],
  ])("is not believed when it %s", async (_, greeting, answer, message) => {
    await expect(readConnected(await serve(greeting, answer))).rejects.toThrow(message);
  });
});
