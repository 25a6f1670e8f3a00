/**
 * `./homing dns plan`, `apply` and `undo`: the words and questions around apply.ts and watch.ts. Called by
 * commands/dns.ts.
 */
import type { ProviderDescription } from "../../appliance/dns/provider.ts";
import { providerById, providers } from "../../appliance/dns/providers/providers.ts";
import { recognizeProvider } from "../../appliance/dns/recognize-provider.ts";
import { agrees, ask } from "../ask.ts";
import { type CommandIo, print, UsageError } from "../command.ts";
import { withProgress } from "../progress.ts";
import { applyDns, applyUndo, planUndo, readPlan, type ZoneKeeper } from "./apply.ts";
import { noteFinished, readBackup, writeBackup } from "./backup.ts";
import { CredentialsError, findCredentials } from "./credentials.ts";
import { keepAddresses } from "./desired.ts";
import type { ServerPlace } from "./exchange.ts";
import { NoDnsError, noDnsMend, noDnsText } from "./no-dns.ts";
import { painterFor } from "./painter.ts";
import type { DnsPlan } from "./plan.ts";
import { changeLines, planText } from "./plan-text.ts";
import { printable } from "./printable.ts";
import { reportText } from "./report-text.ts";
import { isBelieved, noting, systemResolver } from "./resolver.ts";
import type { DesiredDns } from "./wanted.ts";
import { watchDns } from "./watch.ts";
import type { DnsWorld } from "./world.ts";
import { zoneByResolver } from "./zone-servers.ts";

export type ChangeOptions = Readonly<{
  world: DnsWorld;
  provider: string | undefined;
  credentials: string | undefined;
  yes: boolean;
  /** The owner agrees that the registrar's parking page goes. */
  removeParking: boolean;
  /** The owner agrees that a web page at the relay's name goes. */
  replaceWebsite: boolean;
  json: boolean;
  /** Watch these instead of the zone's name servers. */
  servers: readonly ServerPlace[];
}>;

const EXIT_NOT_YET = 1;

export async function planAction(
  desired: DesiredDns,
  options: ChangeOptions,
  io: CommandIo,
): Promise<number> {
  const keeper = await keeperOf(desired.domain, options, io);
  const { plan } = await readPlan(desired, { ...keeper, removeParking: options.removeParking });
  const text = options.json
    ? `${JSON.stringify(plan, undefined, 2)}\n`
    : planText(plan, painterFor(io.stdout, io.env));
  await print(io.stdout, text);
  return plan.obstacles.length === 0 ? 0 : EXIT_NOT_YET;
}

export async function applyAction(
  desired: DesiredDns,
  folder: string,
  options: ChangeOptions,
  io: CommandIo,
): Promise<number> {
  const keeper = await keeperOf(desired.domain, options, io);
  const painter = painterFor(io.stderr, io.env);
  const removeParking = options.removeParking || (await agreesToUnpark(desired, keeper, io));
  const applied = await applyDns(
    desired,
    { ...keeper, removeParking },
    {
      signal: io.signal,
      confirm: async (plan) => {
        io.stderr.write(planText(plan, painter));
        if (!options.replaceWebsite && !(await agreesToReplace(plan, options, io))) return false;
        return options.yes || agrees(io, { text: "Change the zone? Type yes: ", instead: "--yes" });
      },
      noteFinished,
      keepBackup: async (backup) => {
        const path = await writeBackup(folder, backup);
        io.stderr.write(`Back-up of the zone: ${path}\n`);
        return path;
      },
    },
  );
  const { outcome, plan, backup } = applied;
  if (outcome === "declined") {
    io.stderr.write("Nothing was changed.\n");
    return EXIT_NOT_YET;
  }
  await keepAddresses(folder, desired);
  const state = await withProgress(io.stderr, (report) =>
    watchDns(desired, {
      ...{ world: options.world, signal: io.signal, publicationMinutes: keeper.publicationMinutes },
      ...(options.servers.length > 0 && { servers: options.servers }),
      awaited: [...plan.changes.map(({ after }) => after), ...plan.unchanged],
      onLook: ({ done, total }) =>
        report({
          stage: "Waiting until every name server shows the records",
          done,
          total,
          unit: "record sets",
        }),
    }),
  );
  const { report } = state;
  const changed = plan.changes.map(({ after: { name, type } }) => ({ name, type }));
  await print(
    io.stdout,
    options.json
      ? `${JSON.stringify({ outcome, zone: plan.zone, changed, backup, report }, undefined, 2)}\n`
      : summary(outcome, plan.zone, changed.length, backup) +
          (state.done === state.total && report.findings.length === 0
            ? "Every name server shows the relay's records.\n"
            : reportText(report, painterFor(io.stdout, io.env))),
  );
  return report.works ? 0 : EXIT_NOT_YET;
}

/** Asked only where nothing else stands in the way, and somebody is there to answer. */
async function agreesToUnpark(desired: DesiredDns, keeper: ZoneKeeper, io: CommandIo): Promise<boolean> {
  if (io.stdin?.isTTY !== true) return false;
  const { plan } = await readPlan(desired, keeper);
  if (plan.parking.length === 0 || plan.obstacles.length === 0) return false;
  const unparked = await readPlan(desired, { ...keeper, removeParking: true });
  if (unparked.plan.obstacles.length > 0) return false;
  const lines = plan.parking.map(
    ({ name, type, values }) => `  ${printable(`${name} ${type} ${values.join(", ")}`)}\n`,
  );
  io.stderr.write(`These records lead to a parking page of the registrar:\n${lines.join("")}`);
  return agrees(io, { text: "Remove them? Type yes: ", instead: "--remove-parking" });
}

/** A web page may be worth more than a relay: besides the plan it needs a yes of its own. */
async function agreesToReplace(
  { websites }: DnsPlan,
  { yes }: ChangeOptions,
  io: CommandIo,
): Promise<boolean> {
  const [first] = websites;
  if (first === undefined) return true;
  const names = [...new Set(websites.map(({ name }) => name))].join(" and ");
  const text = `A web page at ${names} will not be found any more. Type ${first.name} to go on: `;
  const instead = yes ? "--replace-website" : "--replace-website and --yes";
  return (await ask(io, { text, instead })).toLowerCase() === first.name;
}

function summary(outcome: string, zone: string, changed: number, backup: string | null): string {
  if (outcome === "unchanged") return `The zone ${zone} holds all records already; nothing was changed.\n`;
  return `Changed ${changed} record set${changed === 1 ? "" : "s"} in the zone ${zone}. To take it back: ./homing dns undo ${backup}\n`;
}

/** `path` is the file of a back-up. */
export async function undoAction(path: string, options: ChangeOptions, io: CommandIo): Promise<number> {
  const backup = await readBackup(path);
  const keeper = await keeperOf(
    backup.zone,
    { ...options, provider: options.provider ?? backup.provider },
    io,
  );
  await keeper.provider.check(backup.zone);
  const steps = await planUndo(backup, keeper.provider);
  const painter = painterFor(io.stderr, io.env);
  const restored = steps.filter(({ state }) => state === "restore");
  const foreign = steps.filter(({ state }) => state === "changed since");
  for (const { change } of restored) {
    const { before, after } = change;
    // Backwards: what apply wrote goes, what was there comes back.
    const lines = changeLines({ before: after, after: before ?? { ...after, values: [] } }, painter);
    io.stderr.write(`${lines.join("\n")}\n`);
  }
  for (const { change } of foreign) {
    const { before, after } = change;
    const was = before === null ? "was not there" : `was ${before.values.join(", ")}`;
    io.stderr.write(
      `! ${after.name} ${after.type} was changed since, so it stays as it is; before apply it ${printable(was)}\n`,
    );
  }
  if (restored.length === 0) {
    await print(io.stdout, "There is nothing to restore.\n");
    return foreign.length === 0 ? 0 : EXIT_NOT_YET;
  }
  if (!options.yes && !(await agrees(io, { text: "Restore the zone? Type yes: ", instead: "--yes" }))) {
    io.stderr.write("Nothing was changed.\n");
    return EXIT_NOT_YET;
  }
  io.signal.throwIfAborted();
  const done = await applyUndo(backup, steps, keeper.provider);
  await print(
    io.stdout,
    `Restored ${done.length} of ${steps.length} record sets in the zone ${backup.zone}.\n`,
  );
  return foreign.length === 0 && done.length === restored.length ? 0 : EXIT_NOT_YET;
}

/** The provider that the owner named, or that the name servers belong to, with its credentials. */
async function keeperOf(domain: string, options: ChangeOptions, io: CommandIo): Promise<ZoneKeeper> {
  const description = await describeProvider(domain, options, io);
  const { file, hasTerminal } = { file: options.credentials, hasTerminal: io.stdin?.isTTY === true };
  let isHelped = false;
  const credentials = await findCredentials(description, {
    env: io.env,
    ...(file !== undefined && { file }),
    ...(hasTerminal && {
      ask: async (text: string, secret: boolean) => {
        if (!isHelped) io.stderr.write(`${description.tokenHelp.join("\n")}\n`);
        isHelped = true;
        return ask(io, { text, instead: "--credentials FILE", secret });
      },
    }),
  });
  const { id, minTtl, publicationMinutes, approximate } = description;
  return {
    ...{ id, minTtl, publicationMinutes },
    ...(approximate && { approximate }),
    provider: description.connect(credentials, { signal: io.signal }),
  };
}

async function describeProvider(
  domain: string,
  { provider, world }: ChangeOptions,
  io: CommandIo,
): Promise<ProviderDescription> {
  const known = providers.map(({ id }) => id).join(", ");
  if (provider !== undefined) {
    const description = providerById(provider);
    if (description === undefined) throw new UsageError(`--provider “${provider}” is none of ${known}`);
    return description;
  }
  const resolver = noting(systemResolver(world, io.signal));
  const zone = await zoneByResolver(domain, resolver.ask);
  if (zone === null && !(await isBelieved(resolver))) {
    throw new NoDnsError(`${noDnsText(world)}, so who keeps ${domain} is not known. ${noDnsMend}`);
  }
  const found = recognizeProvider(zone?.names ?? []);
  if (found?.how === "interface") {
    io.stderr.write(`The name servers of ${zone?.zone} are those of ${found.name}.\n`);
    return found.provider;
  }
  const whose =
    found !== undefined
      ? `the name servers of ${domain} are those of ${found.name}, where records are entered by hand`
      : zone?.zone.includes(".")
        ? `the name servers of ${domain} are nobody's that Homing knows`
        : `${domain} is in no zone yet that the DNS knows`;
  throw new CredentialsError(
    `${whose}. Name the provider by --provider (${known}), or enter the records that ./homing dns zone prints.`,
  );
}
