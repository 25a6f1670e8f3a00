/**
 * What a log may say of an error with a file of somebody's mailbox: Node writes the path into the text, and in that stand
 * the account's address and the names of its folders. Pure. Called by expiry.ts and accounts.ts.
 */
import { describeError } from "../lib/log.ts";

/** The error's text and place, without paths and addresses. */
export function nameless(cause: unknown): string {
  // From the first quote to the last: a rename names two paths, and a folder's name may have quotes in it.
  return describeError(cause)
    .replace(/'.*'/s, "…")
    .replace(/[^\s(]*@[^\s)]*/g, "…");
}
