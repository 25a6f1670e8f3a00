/**
 * What stands in the way of a set of the relay's: mail of others, aliases and what stands in for them, names that are
 * delegated, values that cannot be read. Each with one sentence on the mend, and which of it is a registrar's parking
 * page, which may go. Pure; called by plan.ts.
 */
import type { RecordSet } from "../../appliance/dns/record-set.ts";
import { isInZone } from "../../appliance/dns/zone-names.ts";
import { isParkingName } from "./known-names.ts";
import { dataOf, isProxied } from "./readable-value.ts";
import type { Verdict } from "./verdict.ts";
import type { RelayQuestion } from "./views.ts";
import type { Wanted } from "./wanted.ts";

/** Why a set cannot be written without touching what is somebody else's. */
export type PlanObstacle = RelayQuestion & Readonly<{ reason: string; mend: string }>;

type Words = Pick<PlanObstacle, "reason" | "mend">;

/** Types that a zone's signer puts beside any other (RFC 4034 §2.2, §4.1.1), also beside an alias. */
const besideAliases: readonly string[] = ["CNAME", "RRSIG", "NSEC", "NSEC3"];

/**
 * Types of providers' own by which they answer with addresses: aliases of the zone itself, web forwarding, and at Njalla
 * an address that changes. Beside any of them an address of ours is refused, or one of two.
 */
const standIns: readonly string[] = ["ALIAS", "ANAME", "URL", "FRAME", "REDIRECT", "POOL", "DYNAMIC"];
/** Types whose value names one host. */
const aliases: readonly string[] = ["CNAME", "ALIAS", "ANAME"];

/** What stands in the way of a set; undefined when nothing does. `current`: the sets of the zone. */
export function obstacleFor(
  wanted: Wanted,
  verdict: Verdict,
  current: readonly RecordSet[],
  zone: string,
): Words | undefined {
  const { name, type } = wanted;
  if (wanted.records.length === 0) return unknownWish(wanted, verdict);
  const elsewhere = leadAway(name, current, zone);
  if (elsewhere !== undefined) return elsewhere;
  const own = current.filter((set) => set.name === name);
  const standIn = own.find((set) => standIns.includes(set.type));
  if (standIn !== undefined && ["A", "AAAA", "CNAME"].includes(type)) {
    const values = standIn.values.join(", ");
    return isParking(standIn)
      ? parkingWords(standIn)
      : {
          reason: `the provider answers for ${name} by a record ${standIn.type} (${values})`,
          mend: `Remove the record ${standIn.type} at ${name} at the provider, if nobody needs that page.`,
        };
  }
  const unreadable = unreadableValue(own, wanted, verdict);
  if (unreadable !== undefined) {
    return {
      reason: `“${unreadable}” is no value of a ${type} record, so what it is for is not known`,
      mend: `Correct or remove that ${type} record at ${name} at the provider.`,
    };
  }
  if (verdict.state === "ok") return undefined;
  const alias = own.find((set) => set.type === "CNAME");
  if (alias !== undefined && type !== "CNAME" && isParking(alias)) return parkingWords(alias);
  // Authorities are joined, everything else that conflicts belongs to somebody else.
  if (verdict.state === "conflicts" && type !== "CAA") return { reason: verdict.reason, mend: verdict.mend };
  const beside = own.filter((set) => !besideAliases.includes(set.type));
  if (type !== "CNAME" || beside.length === 0) return undefined;
  const types = beside.map((set) => set.type).join(", ");
  return {
    reason: `${name} has records (${types}) beside which no alias can be`,
    mend: `Remove the records ${types} at ${name}.`,
  };
}

function unknownWish({ type }: Wanted, { reason }: Verdict): Words {
  return type === "TXT"
    ? { reason: "the relay's DKIM key is not known", mend: "Name the relay's folder instead of its domain." }
    : {
        reason: reason || "no address of the relay is known",
        mend: "Name the relay's public address by --address.",
      };
}

/** Somebody above the name says that it is elsewhere: a delegation (RFC 1034 §4.2.1), or DNAME (RFC 6672 §2.3). */
function leadAway(name: string, current: readonly RecordSet[], zone: string): Words | undefined {
  const away = current.find(
    (set) =>
      isInZone(name, set.name) &&
      ((set.type === "NS" && set.name !== zone) || (set.type === "DNAME" && set.name !== name)),
  );
  if (away === undefined) return undefined;
  const values = away.values.join(", ");
  return away.type === "NS"
    ? {
        reason: `${away.name} is delegated to other name servers (${values}), so what stands here is not seen`,
        mend: `Publish the relay's records at those name servers, or remove the NS records at ${away.name}.`,
      }
    : {
        reason: `all names below ${away.name} lead to ${values} (DNAME)`,
        mend: `Remove the DNAME record at ${away.name}.`,
      };
}

/** Of a set that stays, foreign texts and authorities do no harm. Proxied values are read by the provider's own mark. */
function unreadableValue(
  own: readonly RecordSet[],
  { type }: Wanted,
  { state }: Verdict,
): string | undefined {
  if (state === "ok" && (type === "TXT" || type === "CAA")) return undefined;
  const values = own.find((set) => set.type === type)?.values ?? [];
  return values.find((value) => !isProxied(value) && dataOf(type, value) === undefined);
}

function parkingWords({ name, type, values }: RecordSet): Words {
  return {
    reason: `${name} leads to a parking page of the registrar (${type} ${values.join(", ")})`,
    mend: `Remove the ${type} record at ${name}, which ./homing dns apply does with --remove-parking.`,
  };
}

/** Whether all that the set does is to lead to a registrar's parking page. */
function isParking({ type, values }: RecordSet): boolean {
  if (!aliases.includes(type) || values.length === 0) return false;
  return values.every((value) => {
    const data = dataOf("CNAME", value);
    return data?.type === "CNAME" && isParkingName(data.target);
  });
}

/**
 * The records of parking pages that stand in the way, or answer by a wildcard for names at or around the relay's. An
 * alias where the relay has one too is not among them: that one is written over.
 */
export function parkingSets(
  wanted: readonly Wanted[],
  domain: string,
  current: readonly RecordSet[],
): RecordSet[] {
  return current.filter((set) => {
    const { name, type } = set;
    const isOurs =
      wanted.some((each) => each.name === name) &&
      !wanted.some((each) => each.name === name && each.type === type);
    const isAround = name.startsWith("*.") && isInZone(domain, name.slice(2));
    return (isOurs || isAround) && isParking(set);
  });
}
