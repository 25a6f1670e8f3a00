/**
 * Proves that a name is ours: a file that services/web serves on port 80 (http-01, RFC 8555 §8.3), or a TXT record
 * (dns-01, §8.4) that is put into the zone and awaited at all its name servers. Called by order.ts.
 */
import { chmod, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ZoneValues } from "../../appliance/dns/one-value.ts";
import { DnsProviderError } from "../../appliance/dns/provider.ts";
import { nameServerAddresses, type Resolvers, ZoneError } from "../../appliance/dns/published.ts";
import { txtValue } from "../../appliance/dns/record-set.ts";
import type { Log } from "../lib/log.ts";
import { OrderPendingError, type Patience } from "./pending.ts";
import type { Proof, ProofNotes } from "./proofs.ts";
import { until } from "./until.ts";

/** `keyAuthorization` as acme-client gives it for the type. */
export type Answer = Readonly<{ name: string; token: string; keyAuthorization: string }>;

export type Challenges = Readonly<{
  type: "http-01" | "dns-01";
  /** Resolves when it can be seen. Throws OrderPendingError when `patience` ends before that: it stays there. */
  present(answer: Answer, patience: Patience): Promise<void>;
  /** Takes it away again, also when `present` failed. */
  remove(answer: Answer): Promise<void>;
  /** Takes away what earlier looks had to leave, but for `wanted`. What cannot be taken away is logged, and stays noted. */
  sweep(wanted: readonly Answer[]): Promise<void>;
}>;

/** RFC 8555 §8.3: Base64url; anything else could be a path. */
const TOKEN = /^[A-Za-z0-9_-]{1,256}$/;
/** It is gone a minute later. In seconds. */
const RECORD_TTL = 60;
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
    present: async ({ token, keyAuthorization }) => {
      await writeFile(pathOf(token), keyAuthorization);
      // The service's umask hides its files from others, and services/web is another user.
      await chmod(pathOf(token), 0o644);
    },
    remove: ({ token }) => rm(pathOf(token), { force: true }),
    sweep: async () => {},
  };
}

export type DnsChallengeOptions = Readonly<{
  values: ZoneValues;
  resolvers: Resolvers;
  notes: ProofNotes;
  log: Log;
  /** How long a record may take to be seen everywhere, in milliseconds. */
  limitMs: number;
}>;

/** Records in the zone. */
export function dnsChallenges({ values, resolvers, notes, log, limitMs }: DnsChallengeOptions): Challenges {
  const noted = ({ name, keyAuthorization }: Answer) =>
    notes.all().find((proof) => proof.name === name && proof.text === keyAuthorization);
  const takeAway = async (proof: Proof) => {
    await values.remove(recordOf(proof));
    await notes.remove(proof);
  };
  return {
    type: "dns-01",
    present: async (answer, patience) => {
      const { name, keyAuthorization: text } = answer;
      const place = await followAliases(`_acme-challenge.${name}`, resolvers);
      const before = noted(answer);
      if (before !== undefined && before.place !== place) await takeAway(before);
      // Noted first: whatever happens from now on, it is known where to look for it.
      const proof = noted(answer) ?? { name, text, place };
      if (!notes.all().includes(proof)) await notes.add(proof);
      await values.add(recordOf(proof));
      let addresses: string[];
      try {
        addresses = await nameServerAddresses(place, resolvers.system);
      } catch (error) {
        if (!(error instanceof ZoneError)) throw error;
        log.warn("cannot see whether the proof is in the DNS everywhere", { name, reason: error.message });
        return;
      }
      let waiting: string[] = [];
      const seen = await until(patience(limitMs), async () => {
        const lacking = await Promise.all(addresses.map((address) => lacks(resolvers, address, place, text)));
        waiting = addresses.filter((_address, index) => lacking[index]);
        return waiting.length === 0 || undefined;
      });
      if (seen) return;
      throw new OrderPendingError(
        `the record ${place} was made, but these name servers do not show it yet: ${waiting.join(", ")}; it stays there and is looked for again`,
      );
    },
    remove: async (answer) => {
      const proof = noted(answer);
      if (proof !== undefined) await takeAway(proof);
    },
    sweep: async (wanted) => {
      const kept = wanted.map(noted);
      for (const proof of notes.all().filter((one) => !kept.includes(one))) {
        await takeAway(proof).catch((cause) => {
          log.error("a proof that an earlier look left cannot be taken away", { record: proof.place }, cause);
        });
      }
    },
  };
}

const recordOf = ({ place, text }: Proof) => ({
  ...{ name: place, type: "TXT", ttl: RECORD_TTL, value: txtValue(text) },
});

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
