/** Resolvers for tests of what asks name servers one by one: each answers from a table of its own. */
import type { NameLookups, Resolvers } from "../../../appliance/dns/published.ts";

function fail(code: string): never {
  throw Object.assign(new Error(`query ${code}`), { code });
}

/** Knows nothing. */
const ignorant: NameLookups = {
  resolveNs: async () => fail("ENODATA"),
  resolve4: async () => fail("ENODATA"),
  resolve6: async () => fail("ENODATA"),
  resolveTxt: async () => fail("ENOTFOUND"),
  resolveCname: async () => fail("ENODATA"),
};

export const nameServers = {
  /** A server that has these TXT records by name. */
  knowing: (txt: Readonly<Record<string, string[][]>>): Partial<NameLookups> => ({
    resolveTxt: async (name) => txt[name] ?? fail("ENOTFOUND"),
  }),

  /** A server that answers every question with this error. */
  failing: (code: string): Partial<NameLookups> => ({
    resolveTxt: async () => fail(code),
    resolveCname: async () => fail(code),
  }),

  /** The resolvers where `zone` has a name server at each of the addresses (ns0.zone, ns1.zone, …). */
  of: (zone: string, servers: Readonly<Record<string, Partial<NameLookups>>>): Resolvers => {
    const addresses = Object.keys(servers);
    const addressOf = (name: string, wantsIpv6: boolean) => {
      const address = addresses[Number(/^ns(\d+)\./.exec(name)?.[1])];
      return address !== undefined && address.includes(":") === wantsIpv6 ? [address] : fail("ENODATA");
    };
    return {
      system: {
        ...ignorant,
        resolveNs: async (name) =>
          name === zone ? addresses.map((_, index) => `ns${index}.${zone}`) : fail("ENODATA"),
        resolve4: async (name) => addressOf(name, false),
        resolve6: async (name) => addressOf(name, true),
      },
      at: (address) => ({ ...ignorant, ...servers[address] }),
    };
  },
} as const;
