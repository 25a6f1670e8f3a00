/** The part of the wizard's work that has to do with the DNS and its providers. Called by real-effects.ts. */
import { Resolver } from "node:dns/promises";
import { isDeepStrictEqual } from "node:util";
import type { ConnectOptions } from "../../appliance/dns/provider.ts";
import type { ZoneKeeper } from "../dns/apply.ts";
import type { DnsPlan } from "../dns/plan.ts";
import type { DnsWorld } from "../dns/world.ts";
import { type FactLookups, type Recognise, systemLookups } from "./domain-facts.ts";
import type { DomainFacts, Effects, Finding, Provider, Task } from "./effects.ts";
import { findingsOf } from "./report-findings.ts";

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

type DnsTask = "domain" | "register" | "login" | "plan" | "apply" | "watch" | "check" | "records";

/** The zone is not any more as it was when the person agreed to the plan. */
export class PlanChangedError extends Error {
  override name = "PlanChangedError";
}

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
  const desired = async (folder: string, addresses: readonly string[]) =>
    (await import("../dns/desired.ts")).desiredOfFolder(folder, { addresses });

  return {
    look,
    effects: {
      domain: ({ domain }, { signal }) => look(domain, signal),
      async register({ domain, email, password }, { signal }) {
        await (await account({ email, password }, signal)).register({ domain });
        return { findings: [{ mark: "good", text: `deSEC has been asked for ${domain}.` }] };
      },
      async login({ domain, email, password }, { signal }) {
        const token = await (await account({ email, password }, signal)).tokenFor(domain);
        return { provider: "desec", credentials: { token } };
      },
      async plan(task, { signal }) {
        const { readPlan } = await import("../dns/apply.ts");
        const wanted = await desired(task.folder, task.answers.addresses);
        const { plan } = await readPlan(wanted, await keeperOf(task, surroundings, signal));
        const obstacles = plan.obstacles.map(
          ({ name, type, reason, mend }) => `${name} ${type}: ${reason}. ${mend}`,
        );
        const blocked = obstacles.length === 0 ? undefined : obstacles.join("\n");
        const findings = plan.notes.map((text): Finding => ({ mark: "warning", text }));
        return { plan: { changes: await changesOf(plan), findings, blocked } };
      },
      async apply(task, { signal }) {
        const [{ applyDns }, { writeBackup }] = await Promise.all([
          import("../dns/apply.ts"),
          import("../dns/backup.ts"),
        ]);
        const wanted = await desired(task.folder, task.answers.addresses);
        const { outcome, backup } = await applyDns(wanted, await keeperOf(task, surroundings, signal), {
          confirm: async (plan) => isDeepStrictEqual(await changesOf(plan), task.changes),
          keepBackup: (zone) => writeBackup(task.folder, zone),
          signal,
        });
        if (outcome === "declined") {
          throw new PlanChangedError(
            "the zone has changed since you saw the plan, so nothing was done; go back and look again",
          );
        }
        return {
          findings: backup === null ? [] : [{ mark: "note", text: `The zone as it was is in ${backup}.` }],
        };
      },
      async watch({ folder, answers }, { report, signal }) {
        const [{ watchDns }, world] = await Promise.all([import("../dns/watch.ts"), worldOf(surroundings)]);
        const {
          done,
          total,
          report: last,
        } = await watchDns(await desired(folder, answers.addresses), {
          ...{ world, signal },
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

type WithProvider = Extract<Task, { kind: "plan" | "apply" }>;

async function keeperOf(
  { provider, credentials }: WithProvider,
  surroundings: DnsSurroundings,
  signal: AbortSignal,
): Promise<ZoneKeeper> {
  const { providerById } = await import("../../appliance/dns/providers/providers.ts");
  const description = providerById(provider);
  if (description === undefined) throw new Error(`there is no provider ${provider}`);
  const { id, minTtl } = description;
  return { id, minTtl, provider: description.connect(credentials, { ...surroundings.connect, signal }) };
}

/** What a person is shown of a plan, and agrees to. */
async function changesOf({ changes }: DnsPlan): Promise<string[]> {
  const [{ changeLines }, { painterFor }] = await Promise.all([
    import("../dns/plan-text.ts"),
    import("../dns/painter.ts"),
  ]);
  const plain = painterFor({}, {});
  return changes.flatMap((change) => changeLines(change, plain));
}
