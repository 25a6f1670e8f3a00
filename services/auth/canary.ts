/**
 * The account of the canary (appliance/canary.ts): made when services/probe asks for the first time, whoever may sign up
 * otherwise, with another password each time it asks. Its socket is its user's alone.
 *
 *   POST /account   200 {"address", "password"}, 503 {"text"}
 */
import type { Server } from "node:http";
import { canaryAddress } from "../../appliance/canary.ts";
import type { Log } from "../lib/log.ts";
import { inventName, inventPassword } from "./invention.ts";
import { BadRequestError, createJsonServer } from "./json-server.ts";
import { hashInvented } from "./password.ts";
import type { AccountStore } from "./store.ts";
import { AccountListError } from "./writer-thread.ts";

/** Of the half of its name that nobody knows: nobody can fill its mailbox by guessing. */
const inventedLength = 16;

type Parts = Readonly<{
  domain: string;
  store: Pick<AccountStore, "create" | "rehash" | "findPassword" | "findCanary">;
  /** Unix time in seconds. */
  now: () => number;
  log: Log;
}>;

/** Makes the server; the caller lets it listen. */
export function createCanaryServer(parts: Parts): Server {
  return createJsonServer({
    log: parts.log,
    answer: async ({ method, url }) => {
      if (`${method} ${url}` !== "POST /account") throw new BadRequestError(404, "no such request");
      try {
        return { status: 200, body: await giveAccount(parts) };
      } catch (cause) {
        if (!(cause instanceof AccountListError)) throw cause;
        return { status: 503, body: { text: cause.message } };
      }
    },
  });
}

async function giveAccount({
  domain,
  store,
  now,
  log,
}: Parts): Promise<{ address: string; password: string }> {
  const password = inventPassword();
  const hash = hashInvented(password);
  const address = store.findCanary() ?? canaryAddress(inventName(inventedLength), domain);
  const stored = store.findPassword(address);
  const isDone =
    stored === undefined
      ? await store.create(address, hash, now())
      : await store.rehash(address, stored, hash);
  if (!isDone) throw new AccountListError("the account of the canary changed meanwhile");
  log.info(stored === undefined ? "made the account of the canary" : "gave the canary a new password");
  return { address, password };
}
