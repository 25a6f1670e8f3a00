/**
 * Tells Postfix the way to another domain (transport_maps, appliance/mail-routes.ts). It is here that Postfix asks, not
 * at services/transport: one process of Postfix waits for the answer, and with it all mail, so whoever gives it must not
 * speak to strangers. What services/transport knows is read from its file. Called by service.ts.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import {
  type KnownWay,
  neverByHttps,
  parseKnownWays,
  plainDomain,
  plainLocalPart,
  routeOf,
} from "../../appliance/mail-routes.ts";
import type { Log } from "../lib/log.ts";

/** 5000 domains (services/transport/destinations.ts) with 255 bytes each. */
const MAX_FILE_BYTES = 2_000_000;

/**
 * @param path of the file of known ways; while there is none, nothing is known.
 * @returns the way for a recipient's address. Undefined, which leaves it to Postfix, for an address literal (only Postfix
 * knows which are its own), for a domain that is not in plain characters, and for anything else, as the "*" that Postfix
 * asks for as well.
 */
export function createRoutes(path: string, log: Log): (address: string) => string | undefined {
  let known: ReadonlyMap<string, KnownWay> = new Map();
  let seen = "";
  return (address) => {
    const at = address.lastIndexOf("@");
    const domain = address.slice(at + 1).toLowerCase();
    if (at < 1 || domain.startsWith("[") || !plainDomain.test(domain)) return undefined;
    if (!plainLocalPart.test(address.slice(0, at))) return `${neverByHttps}:`;
    const now = stateOf(path);
    if (now !== seen) {
      seen = now;
      known = now === "" ? new Map() : readKnownWays(path, log);
    }
    return routeOf(domain, known.get(domain));
  };
}

/** Another text whenever the file is another; empty when there is none. */
function stateOf(path: string): string {
  try {
    const state = lstatSync(path, { throwIfNoEntry: false });
    return state === undefined ? "" : `${state.ino} ${state.mtimeMs} ${state.size}`;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code ?? String(cause);
  }
}

/**
 * The folder is services/transport's, which speaks to strangers: whatever stands there must not hold up who reads it. What
 * cannot be read is not known: the way of the unknown is right for all.
 */
function readKnownWays(path: string, log: Log): ReadonlyMap<string, KnownWay> {
  try {
    return parseKnownWays(readPlainFile(path));
  } catch (cause) {
    log.error("cannot read the ways to other domains", { path }, cause);
    return new Map();
  }
}

/** Follows no link, and does not wait for who would write into a pipe. */
function readPlainFile(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const state = fstatSync(file);
    if (!state.isFile()) throw new Error("it is no file");
    if (state.size > MAX_FILE_BYTES)
      throw new Error(`it has ${state.size} bytes, and more than ${MAX_FILE_BYTES} are not read`);
    const bytes = Buffer.alloc(state.size);
    return bytes.toString("latin1", 0, readSync(file, bytes));
  } finally {
    closeSync(file);
  }
}
