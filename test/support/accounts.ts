/** Accounts as clients invent them, and made by a first login. Used by ring 2 and the benches. */
import { randomBytes } from "node:crypto";
import { openInbox } from "./imap-session.ts";
import type { Relay } from "./relay.ts";

export type Account = Readonly<{ address: string; password: string }>;

/** What a client invents: nine characters and a long password. */
export function inventAccount(domain: string): Account {
  return {
    address: `${randomBytes(5).toString("hex").slice(0, 9)}@${domain}`,
    password: randomBytes(15).toString("base64url"),
  };
}

/** Makes an account on the relay by its first login. */
export async function makeAccount(relay: Relay): Promise<Account> {
  const account = inventAccount(relay.domain);
  await using _session = await openInbox(relay.address, account.address, account.password);
  return account;
}
