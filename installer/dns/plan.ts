/**
 * What has to change in a zone so that it holds the relay's records: sets to make or to change, and what stands in the
 * way. What is right already stays as it is, and so does everything foreign: other texts at a name, other authorities.
 * Nothing is removed but by a set of ours taking its place, addresses at the relay's name that are not its own, and a
 * registrar's parking page when the owner agrees. Pure; called by apply.ts, the command and the wizard.
 */
import type { ProviderDescription } from "../../appliance/dns/provider.ts";
import { presentation, type RecordSet, sameValues } from "../../appliance/dns/record-set.ts";
import { joinedSet } from "./joined-set.ts";
import { judge } from "./judge.ts";
import { obstacleFor, type PlanObstacle, parkingSets } from "./plan-obstacles.ts";
import { printableAll } from "./printable.ts";
import { dataOf } from "./readable-value.ts";
import type { Judged, Lookups } from "./verdict.ts";
import { type Lookup, lookupKey, type RelayQuestion } from "./views.ts";
import { type DesiredDns, questionsFor, type Wanted, wantedOf } from "./wanted.ts";

export type PlannedChange = Readonly<{
  /** Null when there is no such set yet. */
  before: RecordSet | null;
  after: RecordSet;
}>;

export type DnsPlan = Readonly<{
  zone: string;
  changes: readonly PlannedChange[];
  /** Sets that are right as they are. */
  unchanged: readonly RelayQuestion[];
  /** With any of them nothing may be changed. */
  obstacles: readonly PlanObstacle[];
  /** Worth knowing; each a sentence. */
  notes: readonly string[];
  /** Pages that nobody finds any more afterwards: each needs a yes of its own. */
  websites: readonly Website[];
  /** What leads to a registrar's parking page and would go with `removeParking`; empty when it goes. */
  parking: readonly RecordSet[];
}>;

/** A name where something else than the relay is now, as far as anybody named its addresses. */
export type Website = Readonly<{ name: string; leadsTo: string }>;

/** Records of these types say where a web site is, which browsers find no more when they change. */
const leadsToServers: readonly string[] = ["A", "AAAA", "CNAME"];

/** What the provider can keep: a least TTL in seconds, and what it makes of a set that it cannot keep as it is. */
export type PlanLimits = Pick<ProviderDescription, "approximate"> &
  Readonly<{
    minTtl?: number;
    /** The owner agrees that the records of the registrar's parking page go. */
    removeParking?: boolean;
  }>;

/** `zoneSets`: the sets of the zone. */
export function planChanges(
  desired: DesiredDns,
  zone: string,
  zoneSets: readonly RecordSet[],
  { minTtl = 0, approximate = (set) => set, removeParking = false }: PlanLimits = {},
): DnsPlan {
  const { domain } = desired;
  const wanted = wantedOf(desired);
  const parking = parkingSets(wanted, domain, zoneSets);
  const current = removeParking ? zoneSets.filter((set) => !parking.includes(set)) : zoneSets;
  const sets = new Map(current.map((set) => [lookupKey(set as RelayQuestion), set]));
  const lookups = lookupsOf(questionsFor(wanted, domain, zone, "nobody"), sets);
  const addresses = desired.records.flatMap((record) =>
    record.name === domain && "address" in record ? [presentation(record)] : [],
  );
  const { challenge } = desired;
  const judged: Judged = { domain, zone, addresses, nobodies: [], isKnown: true, challenge };
  const isHere = wanted.some((each) => isKey(each) && judge(each, lookups, judged).state === "ok");
  const changes: PlannedChange[] = removeParking
    ? parking.map((set) => ({ before: set, after: { ...set, values: [] } }))
    : [];
  const unchanged: RelayQuestion[] = [];
  const obstacles: PlanObstacle[] = [];
  const notes: string[] = [];
  const websites: Website[] = [];
  for (const each of wanted) {
    const { name, type } = each;
    const verdict = judge(each, lookups, judged);
    const obstacle = obstacleFor(each, verdict, current, zone);
    if (obstacle !== undefined) {
      // One thing may stand in the way of all.
      if (!obstacles.some(({ reason }) => reason === obstacle.reason)) {
        obstacles.push({ name, type, ...obstacle });
      }
    } else if (verdict.state === "ok") {
      unchanged.push({ name, type });
      if (verdict.warning === true) notes.push(`${name} ${type}: ${verdict.reason}. ${verdict.mend}`);
    } else {
      const before = sets.get(lookupKey(each)) ?? null;
      const after = approximate(joinedSet(each, before));
      const ttl = Math.max(after.ttl, minTtl);
      // What the provider cannot keep better is right as it is.
      if (before !== null && sameValues(before, after)) unchanged.push({ name, type });
      else if (after.values.length === 0) {
        notes.push(`${name} ${type} cannot be kept by this provider; the relay works without it.`);
      } else {
        changes.push({ before, after: { ...after, ttl } });
        if (before !== null && leadsToServers.includes(type)) {
          const leadsTo = before.values.join(", ");
          notes.push(`${name} ${type} leads to ${leadsTo} now: a web site there will not be found any more.`);
          // Where the relay's own key is, the relay was before, at another address.
          if (!isHere && [domain, `www.${domain}`].includes(name)) websites.push({ name, leadsTo });
        }
      }
    }
  }
  for (const before of strayAddresses(wanted, domain, sets)) {
    const [{ type }, leadsTo] = [before, before.values.join(", ")];
    changes.push({ before, after: { ...before, values: [] } });
    notes.push(
      `${domain} ${type} leads to ${leadsTo}, where clients and senders would go in the relay's place: it is removed. If that address is the relay's, name it by --address.`,
    );
    // Also where the relay's key is: an address of its own may have been forgotten, and only its owner can tell.
    websites.push({ name: domain, leadsTo });
  }
  const wildcard = current.find(({ name }) => name.startsWith("*."));
  if (wildcard !== undefined) {
    const its = parking.includes(wildcard) ? "a parking page of the registrar, " : "";
    notes.push(`${wildcard.name} ${wildcard.type} stays; ${its}the relay does not need it.`);
  }
  return {
    ...{ zone, changes, unchanged, parking: removeParking ? [] : parking },
    // These quote the zone, and are for people; the changes are written as they are.
    ...printableAll({ obstacles, notes, websites }),
  };
}

/** Addresses of a family that the relay has none of: who has both families takes either (RFC 6724). */
function strayAddresses(
  wanted: readonly Wanted[],
  domain: string,
  sets: ReadonlyMap<string, RecordSet>,
): RecordSet[] {
  const isWanted = (type: string) =>
    wanted.some((one) => one.name === domain && one.type === type && one.records.length > 0);
  const families = ["A", "AAAA"];
  if (!families.some(isWanted)) return [];
  return families.filter((type) => !isWanted(type)).flatMap((type) => sets.get(`${domain} ${type}`) ?? []);
}

/** The DKIM key, which no other relay has. */
function isKey({ records }: Wanted): boolean {
  return records.some((record) => record.type === "TXT" && /^v=DKIM1\b/.test(record.text));
}

/** What the zone would answer. */
function lookupsOf(questions: readonly RelayQuestion[], sets: ReadonlyMap<string, RecordSet>): Lookups {
  return new Map(
    questions.map((question): [string, Lookup] => {
      const key = lookupKey(question);
      const values = (sets.get(key)?.values ?? []).flatMap((value) => dataOf(question.type, value) ?? []);
      if (values.length > 0) return [key, { kind: "values", values }];
      const [target] = sets.get(`${question.name} CNAME`)?.values ?? [];
      if (target === undefined || question.type === "CNAME") return [key, { kind: "none" }];
      return [key, { kind: "alias", target: target.replace(/\.$/, ""), values: [] }];
    }),
  );
}
