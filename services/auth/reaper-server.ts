/**
 * What services/reaper asks, on a socket that it alone may open: which accounts there are, whether there is one, that
 * one leaves, and that one is forgotten whose mail and tokens are gone (account-requests.ts says how). It sees no
 * password, and can make no account and unblock none.
 */
import type { Server } from "node:http";
import type { Log } from "../lib/log.ts";
import type { AccountRequests } from "./account-requests.ts";
import { BadRequestError, createJsonServer, type Reply } from "./json-server.ts";

/** Makes the server; the caller lets it listen. */
export function createReaperServer({
  accounts,
  log,
}: Readonly<{ accounts: AccountRequests; log: Log }>): Server {
  return createJsonServer({
    log,
    answer: async ({ method = "", url = "" }): Promise<Reply> => {
      const reply = accounts.answer(method, url, ["list", "show", "leave", "forget"]);
      if (reply === undefined) throw new BadRequestError(404, "no such request");
      return await reply;
    },
  });
}
