/**
 * Tells Postfix the way to another domain (transport_maps, appliance/mail-routes.ts). It is here that Postfix asks, not
 * at services/transport: one process of Postfix waits for the answer, and with it all mail, so whoever gives it must not
 * speak to strangers. What services/transport knows is read from its file. Called by service.ts.
 */
import { readFileSync, statSync } from "node:fs";
import { type KnownWay, parseKnownWays, plainDomain, routeOf } from "../../appliance/mail-routes.ts";
import type { Log } from "../lib/log.ts";

/** 5000 domains (services/transport/destinations.ts) with 255 bytes each. */
const MAX_FILE_BYTES = 2_000_000;

/**
 * @param path of the file of known ways; while there is none, nothing is known.
 * @returns the way for a recipient's address; undefined when its domain is not in plain characters, and for anything else,
 * as the "*" that Postfix asks for as well.
 */
export function createRoutes(path: string, log: Log): (address: string) => string | undefined {
  let known: ReadonlyMap<string, KnownWay> = new Map();
  let seen = "";
  return (address) => {
    const at = address.lastIndexOf("@");
    const domain = address.slice(at + 1).toLowerCase();
    if (at < 0 || !plainDomain.test(domain)) return undefined;
    const state = statSync(path, { throwIfNoEntry: false });
    const now = state === undefined ? "" : `${state.ino} ${state.mtimeMs} ${state.size}`;
    if (now !== seen) {
      seen = now;
      known = state === undefined ? new Map() : readKnownWays(path, state.size, log);
    }
    return routeOf(domain, known.get(domain));
  };
}

/** What cannot be read is not known: the way of the unknown is right for all. */
function readKnownWays(path: string, size: number, log: Log): ReadonlyMap<string, KnownWay> {
  try {
    if (size > MAX_FILE_BYTES)
      throw new Error(`it has ${size} bytes, and more than ${MAX_FILE_BYTES} are not read`);
    return parseKnownWays(readFileSync(path, "latin1"));
  } catch (cause) {
    log.error("cannot read the ways to other domains", { path }, cause);
    return new Map();
  }
}
