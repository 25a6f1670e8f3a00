/** The part of the wizard's work that has to do with the DNS and its providers. Called by real-effects.ts. */
import { Resolver } from "node:dns/promises";
import type { ConnectOptions } from "../../appliance/dns/provider.ts";
import type { DnsWorld } from "../dns/world.ts";
import { type FactLookups, type Recognise, systemLookups } from "./domain-facts.ts";
import type { DomainFacts, Effects, Finding, Provider } from "./effects.ts";
import { providerSession } from "./provider-session.ts";
import { findingsOf } from "./report-findings.ts";
import { type DesiredOf, zoneEffects } from "./zone-effects.ts";

export type DnsSurroundings = Readonly<{
  /** For tests; this computer's resolvers otherwise. */
  dns?: DnsWorld;
  /** For tests: where the provider is. */
  connect?: ConnectOptions;
}>;

export type LookAtDomain = (
  domain: string,
  signal: AbortSignal,
) => Promise<Readonly<{ facts: DomainFacts; providers: readonly Provider[] }>>;

type DnsTask = "domain" | "register" | "login" | "plan" | "apply" | "undo" | "watch" | "check" | "records";

export function dnsEffects(surroundings: DnsSurroundings): Readonly<{
  effects: Pick<Effects, DnsTask>;
  look: LookAtDomain;
}> {
  const look: LookAtDomain = async (domain, signal) => {
    const [{ lookAtDomain }, { providers }, { pathByHand, recognizeProvider }] = await Promise.all([
      import("./domain-facts.ts"),
      import("../../appliance/dns/providers/providers.ts"),
      import("../../appliance/dns/recognize-provider.ts"),
    ]);
    const recognise: Recognise = (nameServers) => {
      const who = recognizeProvider(nameServers);
      return {
        provider: who?.how === "interface" ? who.provider.id : undefined,
        providerName: who?.name,
        pathByHand: pathByHand(nameServers),
      };
    };
    return { facts: await lookAtDomain(domain, lookupsOf(surroundings), recognise, signal), providers };
  };
  const account = async (owner: { email: string; password: string }, signal: AbortSignal) =>
    (await import("../../appliance/dns/providers/desec-account.ts")).desecAccount(owner, {
      ...surroundings.connect,
      signal,
    });
  const desired: DesiredOf = async (folder, addresses) =>
    (await import("../dns/desired.ts")).desiredOfFolder(folder, { addresses });

  return {
    look,
    effects: {
      ...zoneEffects(providerSession(surroundings.connect), desired),
      domain: ({ domain }, { signal }) => look(domain, signal),
      async register({ domain, email, password }, { signal }) {
        await (await account({ email, password }, signal)).register({ domain });
        return { findings: [{ mark: "good", text: `deSEC has been asked for ${domain}.` }] };
      },
      async login({ domain, email, password }) {
        // Never cut off: it would leave a token behind that nobody knows.
        const never = new AbortController().signal;
        const token = await (await account({ email, password }, never)).tokenFor(domain);
        return { provider: "desec", credentials: { token } };
      },
      async watch({ folder, answers, awaited }, { report, signal }) {
        const [{ watchDns }, { providerById }, world] = await Promise.all([
          import("../dns/watch.ts"),
          import("../../appliance/dns/providers/providers.ts"),
          worldOf(surroundings),
        ]);
        const { publicationMinutes } = (answers.provider && providerById(answers.provider)) || {};
        const {
          done,
          total,
          report: last,
        } = await watchDns(await desired(folder, answers.addresses), {
          ...{ world, signal, awaited, publicationMinutes },
          onLook: (state) =>
            report({ stage: "Records that all name servers show", done: state.done, total: state.total }),
        });
        const good: Finding = { mark: "good", text: "All name servers show all records." };
        return { findings: done === total ? [good] : findingsOf(last, folder) };
      },
      async check({ folder, answers }, { signal }) {
        const [{ checkDns }, world] = await Promise.all([import("../dns/check.ts"), worldOf(surroundings)]);
        const report = await checkDns(await desired(folder, answers.addresses), { world, signal });
        return { findings: findingsOf(report, folder), good: report.works };
      },
      async records({ folder, answers }) {
        const { zoneText } = await import("../../appliance/dns/records.ts");
        return { text: zoneText((await desired(folder, answers.addresses)).records) };
      },
    },
  };
}

async function worldOf({ dns }: DnsSurroundings): Promise<DnsWorld> {
  return dns ?? (await import("../dns/world.ts")).realWorld();
}

function lookupsOf({ dns }: DnsSurroundings): FactLookups {
  if (dns === undefined) return systemLookups();
  const resolver = new Resolver();
  resolver.setServers(dns.resolvers.map(({ address, port }) => `${address}:${port}`));
  return resolver;
}
