/**
 * What is asked about accounts on two sockets: by homing-ctl (control-server.ts), and by services/reaper, which may take
 * accounts away and nothing else (reaper-server.ts). Everything is in force, and on disk, when it is answered.
 *
 *   GET /accounts                    200, a line of JSON for each: {"address", "createdDay", "state", "unblockedDay"?}
 *   GET /accounts/ADDRESS            200 the same for one
 *   POST /accounts/ADDRESS/block     200 the same: from now on nobody logs in, and no mail comes in
 *   POST /accounts/ADDRESS/unblock   200 the same
 *   POST /accounts/ADDRESS/leave     200 the same: gone for everybody, but its name is not free; nothing leads back
 *   DELETE /accounts/ADDRESS         200 of an account that was leaving: its name is free
 *
 * 404 {"text"} when there is no such account, 409 {"text"} when its state does not allow it, or it is the canary's, which
 * is neither blocked nor deleted: the relay would take itself for broken, and services/reaper does not know the canary.
 */
import type { AccountState } from "../../appliance/account-states.ts";
import { isCanaryAddress } from "../../appliance/canary.ts";
import type { Log } from "../lib/log.ts";
import { BadRequestError, type Reply } from "./json-server.ts";
import { normaliseAddress } from "./rules.ts";
import type { AccountStore } from "./store.ts";

export const accountVerbs = ["list", "show", "block", "unblock", "leave", "forget"] as const;
export type AccountVerb = (typeof accountVerbs)[number];

const stateAfter: Readonly<Partial<Record<AccountVerb, AccountState>>> = {
  block: "blocked",
  unblock: "active",
  leave: "leaving",
};

export type AccountRequests = Readonly<{
  /**
   * Undefined when the question is none of those above. @throws BadRequestError; AccountListError when the list takes no
   * change now; Error of SQLite.
   */
  answer(method: string, url: string, allowed: readonly AccountVerb[]): Promise<Reply> | undefined;
}>;

export function createAccountRequests(
  parts: Readonly<{ domain: string; store: AccountStore; log: Log }>,
): AccountRequests {
  const { domain, store, log } = parts;

  const show = (address: string): Reply => {
    const found = store.findListed(address);
    if (found === undefined) throw new BadRequestError(404, `there is no account ${address}`);
    return { status: 200, body: found };
  };

  const act = async (verb: AccountVerb, address: string): Promise<Reply> => {
    const before = show(address);
    if (verb === "show") return before;
    if (verb === "forget") {
      if (!(await store.forget(address)))
        throw new BadRequestError(409, `${address} is not being deleted: its mail may still be there`);
      log.info("an account was deleted");
      return before;
    }
    const state = stateAfter[verb]!;
    if (state !== "active" && isCanaryAddress(address))
      throw new BadRequestError(
        409,
        `${address} is the relay's own: with it the relay sends itself messages`,
      );
    if (!(await store.setState(address, state))) {
      // Gone since, or leaving already.
      show(address);
      throw new BadRequestError(409, `${address} is being deleted`);
    }
    log.info("the state of an account was changed", { state });
    return show(address);
  };

  return {
    answer(method, url, allowed) {
      const asked = parse(method, url);
      if (asked === undefined || !allowed.includes(asked.verb)) return undefined;
      if (asked.verb === "list") return Promise.resolve({ status: 200, lines: lines(store) });
      const normalised = normaliseAddress(asked.user, domain);
      if ("refusal" in normalised) throw new BadRequestError(400, `accounts here are called NAME@${domain}`);
      return act(asked.verb, normalised.address);
    },
  };
}

function parse(method: string, url: string): { verb: AccountVerb; user: string } | undefined {
  if (url === "/accounts") return method === "GET" ? { verb: "list", user: "" } : undefined;
  const [, name = "", action] = /^\/accounts\/([^/?#]+)(?:\/(\w+))?$/.exec(url) ?? [];
  const user = decode(name);
  if (user === undefined || user === "") return undefined;
  if (action === undefined) {
    if (method === "GET") return { verb: "show", user };
    return method === "DELETE" ? { verb: "forget", user } : undefined;
  }
  const verb = accountVerbs.find((known) => known === action);
  return method === "POST" && verb !== undefined && stateAfter[verb] !== undefined
    ? { verb, user }
    : undefined;
}

/** Undefined when the escapes are none (RFC 3986 §2.1). */
function decode(name: string): string | undefined {
  try {
    return decodeURIComponent(name);
  } catch (cause) {
    if (cause instanceof URIError) return undefined;
    throw cause;
  }
}

function* lines(store: AccountStore): Iterable<string> {
  for (const piece of store.list()) yield piece.map((account) => `${JSON.stringify(account)}\n`).join("");
}
