/**
 * An invitation is used up by the account it makes, and the answer that tells name and password may be lost on its way.
 * While nobody has logged in to that account, whoever brings the token again gets it, under a new password: so no
 * password is kept in plain, it outlives a restart, and two people never hold one account. Used by invites.ts, which
 * looks, and store-writer.ts, which gives.
 */
import { createHmac } from "node:crypto";
import { networkOf } from "../lib/network.ts";

/**
 * From the same network, with an invitation for one, in seconds: an app logs in within a few, and no second tap must
 * take the account from the first.
 */
const soonSeconds = 10;
/** From anywhere (a phone changes its network), or with an invitation for many, behind one address of a school. */
const laterSeconds = 3_600;

/** What is compared of a client that brings a token. */
export function askerOf(token: string, client: string): Buffer {
  return createHmac("sha256", token).update(networkOf(client, 64)).digest();
}

/**
 * SQL that finds an account to give again, by ?1 the token's hash, ?2 Unix seconds now, ?3 the asker. None for an
 * invitation that was withdrawn or has expired, and none that the operator blocked or that is being deleted.
 */
export const findUnusedSql = `
  SELECT unused.address AS address
  FROM unused_accounts AS unused JOIN invites USING (token_hash) JOIN accounts USING (address)
  WHERE unused.token_hash = ?1 AND accounts.state IS NULL AND (invites.expires IS NULL OR invites.expires > ?2)
    AND (unused.told <= ?2 - ${laterSeconds}
      OR (invites.uses = 1 AND unused.asker = ?3 AND unused.told <= ?2 - ${soonSeconds}))
  ORDER BY unused.told LIMIT 1`;
