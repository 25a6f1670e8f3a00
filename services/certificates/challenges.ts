/**
 * Proves that a name is ours: a file that services/web serves on port 80 (http-01, RFC 8555 §8.3), or a TXT record
 * (dns-01, §8.4) that is put into the zone and awaited at all its name servers. Called by order.ts.
 */
import { chmod, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ZoneValues } from "../../appliance/dns/one-value.ts";
import { DnsProviderError } from "../../appliance/dns/provider.ts";
import { nameServerAddresses, type Resolvers, ZoneError } from "../../appliance/dns/published.ts";
import { txtValue, type ValueRow } from "../../appliance/dns/record-set.ts";
import type { Log } from "../lib/log.ts";
import { until } from "./until.ts";

export type Challenges = Readonly<{
  type: "http-01" | "dns-01";
  /** Resolves when the answer can be seen. `keyAuthorization` as acme-client gives it for the type. */
  present(name: string, token: string, keyAuthorization: string): Promise<void>;
  /** Takes the answer away again. */
  remove(name: string, token: string, keyAuthorization: string): Promise<void>;
}>;

/** RFC 8555 §8.3: Base64url; anything else could be a path. */
const TOKEN = /^[A-Za-z0-9_-]{1,256}$/;
/** It is gone a minute later. In seconds. */
const RECORD_TTL = 60;
/** Registrars' servers may take minutes to have a change. In milliseconds. */
const PUBLICATION_LIMIT_MS = 10 * 60_000;
/** RFC 8555 §8.3 and §8.4 let names lead elsewhere; a chain of aliases that is longer leads in circles. */
const MAX_ALIASES = 4;

/** The authority sent a challenge that cannot be one. */
export class ChallengeError extends Error {
  override name = "ChallengeError";
}

/** Files in `folder`, one a token; what an earlier run left there goes first. */
export async function httpChallenges(folder: string): Promise<Challenges> {
  for (const left of await readdir(folder)) await rm(join(folder, left), { force: true });
  const pathOf = (token: string) => {
    if (!TOKEN.test(token))
      throw new ChallengeError("the authority's token is not made of letters and digits");
    return join(folder, token);
  };
  return {
    type: "http-01",
    present: async (_name, token, keyAuthorization) => {
      await writeFile(pathOf(token), keyAuthorization);
      // The service's umask hides its files from others, and services/web is another user.
      await chmod(pathOf(token), 0o644);
    },
    remove: (_name, token) => rm(pathOf(token), { force: true }),
  };
}

/** Records in the zone. `limitMs`: how long they may take to be seen everywhere. */
export function dnsChallenges(
  values: ZoneValues,
  resolvers: Resolvers,
  log: Log,
  limitMs: number = PUBLICATION_LIMIT_MS,
): Challenges {
  // Where each was put: an alias may lead elsewhere by the time it is taken away.
  const made = new Map<string, ValueRow>();
  const keyOf = (name: string, text: string) => `${name} ${text}`;
  const remove = async (name: string, text: string) => {
    const record = made.get(keyOf(name, text));
    if (record === undefined) return;
    await values.remove(record);
    made.delete(keyOf(name, text));
  };
  return {
    type: "dns-01",
    present: async (name, _token, text) => {
      const place = await followAliases(`_acme-challenge.${name}`, resolvers);
      const record = { name: place, type: "TXT", ttl: RECORD_TTL, value: txtValue(text) };
      await values.add(record);
      made.set(keyOf(name, text), record);
      let addresses: string[];
      try {
        addresses = await nameServerAddresses(record.name, resolvers.system);
      } catch (error) {
        if (!(error instanceof ZoneError)) throw error;
        log.warn("cannot see whether the proof is in the DNS everywhere", { name, reason: error.message });
        return;
      }
      let waiting: string[] = [];
      const seen = await until(limitMs, async () => {
        const lacking = await Promise.all(
          addresses.map((address) => lacks(resolvers, address, record.name, text)),
        );
        waiting = addresses.filter((_address, index) => lacking[index]);
        return waiting.length === 0 || undefined;
      });
      if (seen) return;
      await remove(name, text);
      throw new DnsProviderError(
        `the record ${record.name} was made, but these name servers do not show it: ${waiting.join(", ")}`,
      );
    },
    remove: (name, _token, text) => remove(name, text),
  };
}

/** A server that does not answer, as one of an address family that this network lacks, does not count. */
async function lacks(resolvers: Resolvers, address: string, name: string, text: string): Promise<boolean> {
  try {
    const found = await resolvers.at(address).resolveTxt(name);
    return !found.some((strings) => strings.join("") === text);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return code === "ENOTFOUND" || code === "ENODATA";
  }
}

/** Owners lead the challenge's name into a zone that can be changed (RFC 8555 §8.4), so the record belongs there. */
async function followAliases(name: string, { system }: Resolvers): Promise<string> {
  let place = name;
  for (let i = 0; i < MAX_ALIASES; i++) {
    const target: string | undefined = await system.resolveCname(place).then(
      ([first]) => first,
      (error: NodeJS.ErrnoException) => {
        if (error.code === undefined) throw error;
        return undefined; // no alias, or nobody who could say so: then the name itself
      },
    );
    if (target === undefined) return place;
    place = target.toLowerCase().replace(/\.$/, "");
  }
  throw new DnsProviderError(`the name ${name} is an alias that leads in a circle`);
}
