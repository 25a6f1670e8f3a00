/**
 * Writes a relay's records into its zone at a provider: reads the zone, plans, lets the owner look, keeps a back-up, and
 * only then changes the sets of the plan. Cut off at any point it is simply run again. Also takes such a change back.
 * Called by the command and the wizard; I/O by the provider and the callbacks.
 */
import { isDeepStrictEqual } from "node:util";
import { type DnsProvider, DnsProviderError } from "../../appliance/dns/provider.ts";
import { type RecordSet, sameValues } from "../../appliance/dns/record-set.ts";
import { zoneOf } from "../../appliance/dns/zone-names.ts";
import type { ZoneBackup } from "./backup.ts";
import { type DnsPlan, type PlanLimits, type PlannedChange, planChanges } from "./plan.ts";
import { printable } from "./printable.ts";
import type { DesiredDns } from "./wanted.ts";

/** A provider with what is known of it (ProviderDescription). */
export type ZoneKeeper = PlanLimits &
  Readonly<{ id: string; provider: DnsProvider; publicationMinutes?: number | undefined }>;

/** Something in the zone stands in the way; the message says what, with the mend. */
export class PlanObstacleError extends Error {
  override name = "PlanObstacleError";
}

/** How often the owner is asked about a zone that changes meanwhile. */
const MAX_ASKED = 5;

export type ZonePlan = Readonly<{ plan: DnsPlan; sets: readonly RecordSet[] }>;

/** Reads the zone and plans; changes nothing. Throws DnsProviderError. */
export async function readPlan(desired: DesiredDns, { provider, ...limits }: ZoneKeeper): Promise<ZonePlan> {
  const zone = await findZone(desired.domain, provider);
  const access = await provider.check(zone);
  const sets = await provider.read(zone);
  const plan = planChanges(desired, zone, sets, limits);
  const untried =
    "This provider does not tell what a token may do: whether yours may change the zone shows at the first change.";
  const isUntried = access === "untold" && plan.changes.length > 0;
  return { plan: isUntried ? { ...plan, notes: [...plan.notes, untried] } : plan, sets };
}

async function findZone(domain: string, provider: DnsProvider): Promise<string> {
  const zones = await provider.zones();
  const zone = zoneOf(domain, zones);
  if (zone !== undefined) return zone;
  const seen =
    zones.length === 0 ? "it sees no zone at all" : `it sees ${zones.slice(0, 5).map(printable).join(", ")}`;
  throw new DnsProviderError(
    `the token cannot see a zone that holds ${domain}: ${seen}. Add the domain at the provider, or make a token for its zone.`,
    "missing",
  );
}

export type ApplyCallbacks = Readonly<{
  /** Whether the plan may be carried out. Asked again when the zone was changed meanwhile. */
  confirm: (plan: DnsPlan) => Promise<boolean>;
  /** Keeps it before the first change, and gives its place. */
  keepBackup: (backup: ZoneBackup) => Promise<string>;
  /** Notes in the back-up at this place that all its changes were made. */
  noteFinished: (place: string) => Promise<void>;
  signal?: AbortSignal;
  /** Milliseconds since 1970. */
  now?: () => number;
}>;

export type Applied = Readonly<{
  outcome: "unchanged" | "declined" | "changed";
  plan: DnsPlan;
  /** Where the back-up is; null when nothing was to be changed. */
  backup: string | null;
}>;

/** Throws PlanObstacleError before anything is changed, DnsProviderError, and the signal's reason between steps. */
export async function applyDns(
  desired: DesiredDns,
  keeper: ZoneKeeper,
  { confirm, keepBackup, noteFinished, signal, now = Date.now }: ApplyCallbacks,
): Promise<Applied> {
  let read = await readPlan(desired, keeper);
  for (let asked = 0; asked < MAX_ASKED; asked++) {
    const { plan } = read;
    signal?.throwIfAborted();
    const { zone, changes, obstacles } = plan;
    if (obstacles.length > 0) throw new PlanObstacleError(obstacleText(plan));
    if (changes.length === 0) {
      // A run that was cut off may have left changes that nobody sees yet.
      await keeper.provider.publish?.(zone);
      return { outcome: "unchanged", plan, backup: null };
    }
    if (!(await confirm(plan))) return { outcome: "declined", plan, backup: null };
    signal?.throwIfAborted();
    // Somebody may have changed the zone while the owner thought: what is agreed to is what is done, and kept before.
    read = await readPlan(desired, keeper);
    if (!isDeepStrictEqual(read.plan, plan)) continue;
    signal?.throwIfAborted();
    const { sets } = read;
    const backup = await keepBackup({
      ...{ made: now(), provider: keeper.id, zone, sets, changes, finished: false },
    });
    signal?.throwIfAborted();
    await keeper.provider.change(
      zone,
      changes.map(({ after }) => after),
    );
    await noteFinished(backup);
    return { outcome: "changed", plan, backup };
  }
  throw new PlanObstacleError(
    "somebody else changes the zone all the time, so nothing was done; find out who, then start again",
  );
}

function obstacleText({ zone, obstacles }: DnsPlan): string {
  const lines = obstacles.map(
    ({ name, type, reason, mend }) => `  ${name} ${type}: ${reason}.\n    → ${mend}`,
  );
  return `nothing was changed in the zone ${zone}, for this stands in the way:\n${lines.join("\n")}`;
}

export type UndoStep = Readonly<{
  change: PlannedChange;
  /**
   * "restore": it is as apply left it, or as one that was cut off did; "restored": as it was before; "changed since": by
   * somebody else, also by removing it, so it stays.
   */
  state: "restore" | "restored" | "changed since";
}>;

/** What undoing would do; changes nothing. Throws DnsProviderError. */
export async function planUndo(backup: ZoneBackup, provider: DnsProvider): Promise<UndoStep[]> {
  const { zone, changes, finished } = backup;
  const names = changes.map(({ after: { name, type } }) => ({ name, type }));
  const current = await provider.read(zone, names);
  return changes.map((change) => {
    const { before, after } = change;
    const now = current.find(({ name, type }) => name === after.name && type === after.type) ?? null;
    if (isSame(now, before)) return { change, state: "restored" };
    const isOurs = isSame(now, after) || (!finished && isHalfway(now, change));
    return { change, state: isOurs ? "restore" : "changed since" };
  });
}

/**
 * Whether a change that was cut off may have left this: what stays is there, with some of the old and of the new. A set
 * is never empty on the way (DnsProvider.change), so one that is empty was emptied by somebody.
 */
function isHalfway(now: RecordSet | null, { before, after }: PlannedChange): boolean {
  const [old, left] = [before?.values ?? [], now?.values ?? []];
  const stays = old.filter((value) => after.values.includes(value));
  return (
    left.length >= Math.min(old.length, after.values.length) &&
    stays.every((value) => left.includes(value)) &&
    left.every((value) => old.includes(value) || after.values.includes(value))
  );
}

/** Puts back what the steps say, but what was changed since they were planned. Gives what it did. Throws DnsProviderError. */
export async function applyUndo(
  backup: ZoneBackup,
  steps: readonly UndoStep[],
  provider: DnsProvider,
): Promise<UndoStep[]> {
  const now = await planUndo(backup, provider);
  const restored = now.filter(
    ({ state, change }, index) =>
      state === "restore" && steps[index]?.state === "restore" && steps[index].change === change,
  );
  const sets = restored.map(({ change: { before, after } }): RecordSet => before ?? { ...after, values: [] });
  if (sets.length > 0) await provider.change(backup.zone, sets);
  return restored;
}

function isSame(a: RecordSet | null, b: RecordSet | null): boolean {
  const isNothing = (set: RecordSet | null) => set === null || set.values.length === 0;
  if (isNothing(a) || isNothing(b)) return isNothing(a) && isNothing(b);
  return sameValues(a!, b!);
}
