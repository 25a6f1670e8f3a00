/**
 * Whether a DKIM key can be seen everywhere: asks every name server of the zone itself, since the resolver at hand
 * shows one view, and maybe an old one. I/O only by the resolvers that are passed in. Called by services/dkim before a
 * new key begins to sign, and by `./homing keys retire-dkim` before an old one goes.
 */
import type { KeyObject } from "node:crypto";
import { Resolver } from "node:dns/promises";
import { findDkimKey } from "./dkim-record.ts";

/** What is needed of a resolver of node:dns; rejects with its codes. */
export type NameLookups = Readonly<{
  resolveNs(name: string): Promise<string[]>;
  resolve4(name: string): Promise<string[]>;
  resolve6(name: string): Promise<string[]>;
  resolveTxt(name: string): Promise<string[][]>;
  resolveCname(name: string): Promise<string[]>;
}>;

export type Resolvers = Readonly<{
  /** Finds name servers and their addresses. */
  system: NameLookups;
  /** Asks the server at this address and no other. */
  at(address: string): NameLookups;
}>;

export type ServerFinding = Readonly<{
  server: string;
  /** Empty when the server's name has no address. */
  address: string;
  /** "silent": it gave no answer that counts, as an address family that this network lacks. */
  state: "published" | "another key" | "no key" | "silent";
}>;

export type Publication = Readonly<{
  /** True when every name server has the key, and none of their addresses answers otherwise. */
  everywhere: boolean;
  findings: readonly ServerFinding[];
}>;

/** The name servers of the zone cannot be found; the message says what was asked. */
export class ZoneError extends Error {
  override name = "ZoneError";
}

/** Large zones have 13 servers with two addresses each. */
const limits = { servers: 16, addresses: 4, aliases: 3 } as const;

/** One question, as long as it may take: the answer is not urgent, a slow line is to be expected. */
const ASK_TIMEOUT_MS = 4000;
const ASK_TRIES = 2;

/** The resolvers of this computer or device. */
export function realResolvers(): Resolvers {
  const options = { timeout: ASK_TIMEOUT_MS, tries: ASK_TRIES };
  return {
    system: new Resolver(options),
    at(address) {
      const resolver = new Resolver(options);
      resolver.setServers([address]);
      return resolver;
    },
  };
}

/**
 * Asks for the key's name (`selector._domainkey.domain`) at all name servers. Aliases (CNAME) are followed to the
 * name servers of their zone. Throws ZoneError when nobody can say which servers there are.
 */
export async function whereIsDkimKey(
  name: string,
  key: KeyObject,
  resolvers: Resolvers,
): Promise<Publication> {
  return ask(name, key, resolvers, limits.aliases);
}

async function ask(
  name: string,
  key: KeyObject,
  resolvers: Resolvers,
  aliases: number,
): Promise<Publication> {
  const servers = await nameServersOf(name, resolvers.system);
  const byServer = await Promise.all(
    servers.slice(0, limits.servers).map(async (server) => {
      const addresses = await addressesOf(server, resolvers.system);
      if (addresses.length === 0) return [{ server, address: "", state: "silent" } as const];
      return Promise.all(
        addresses.map(async (address): Promise<ServerFinding> => {
          const state = await stateAt(resolvers.at(address), name, key, resolvers, aliases);
          return { server, address, state };
        }),
      );
    }),
  );
  const everywhere = byServer.every(
    (findings) =>
      findings.some(({ state }) => state === "published") &&
      findings.every(({ state }) => state === "published" || state === "silent"),
  );
  return { everywhere, findings: byServer.flat() };
}

/** The addresses of all name servers of the name's zone. Throws ZoneError when nobody can say which there are. */
export async function nameServerAddresses(name: string, system: NameLookups): Promise<string[]> {
  const servers = (await nameServersOf(name, system)).slice(0, limits.servers);
  return (await Promise.all(servers.map((server) => addressesOf(server, system)))).flat();
}

/** The name servers of the closest zone above the name. */
async function nameServersOf(name: string, system: NameLookups): Promise<string[]> {
  const labels = name.split(".");
  // The last label alone is a top-level domain: its servers know nothing of ours.
  for (let start = 0; start < labels.length - 1; start++) {
    const zone = labels.slice(start).join(".");
    try {
      const servers = await system.resolveNs(zone);
      if (servers.length > 0) return servers.map((server) => server.toLowerCase().replace(/\.$/, "")).sort();
    } catch (error) {
      if (isMissing(error)) continue;
      throw new ZoneError(`cannot find the name servers of ${zone}: ${codeOf(error)}`, { cause: error });
    }
  }
  throw new ZoneError(`no zone above ${name} has name servers`);
}

async function addressesOf(server: string, system: NameLookups): Promise<string[]> {
  const families = await Promise.all(
    [system.resolve4(server), system.resolve6(server)].map((answer) =>
      answer.catch((error: unknown) => {
        if (codeOf(error) === undefined) throw error;
        return [];
      }),
    ),
  );
  return families.flat().slice(0, limits.addresses);
}

/** What the server says about the name. */
async function stateAt(
  server: NameLookups,
  name: string,
  key: KeyObject,
  resolvers: Resolvers,
  aliases: number,
): Promise<ServerFinding["state"]> {
  try {
    const found = findDkimKey(await server.resolveTxt(name));
    // By meaning, not by text: providers write the same key in many ways.
    return "key" in found && found.key.equals(key) ? "published" : "another key";
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    if (!isMissing(error)) return "silent";
  }
  const target = await aliasAt(server, name);
  if (target === undefined || aliases === 0) return "no key";
  try {
    return (await ask(target, key, resolvers, aliases - 1)).everywhere ? "published" : "no key";
  } catch (error) {
    if (error instanceof ZoneError) return "silent";
    throw error;
  }
}

/** Where the name leads at this server, undefined when it is no alias. */
async function aliasAt(server: NameLookups, name: string): Promise<string | undefined> {
  try {
    return (await server.resolveCname(name))[0];
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return undefined;
  }
}

/** "No such name" and "no such record" (node:dns). */
function isMissing(error: unknown): boolean {
  return codeOf(error) === "ENOTFOUND" || codeOf(error) === "ENODATA";
}

/** The code of an error of node:dns; undefined for an error of any other kind. */
function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
