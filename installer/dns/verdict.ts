/**
 * What can be said of a wanted record: the states, and the words that several kinds of records share. Pure; called by
 * judge.ts and its parts.
 */
import { presentation } from "../../appliance/dns/record-set.ts";
import type { RecordData } from "../../appliance/dns/records.ts";
import { isParkingName } from "./known-names.ts";
import { type Lookup, lookupKey, type RelayQuestion } from "./views.ts";
import type { Challenge, Wanted } from "./wanted.ts";

/** From good to bad; "unknown": the server gave no answer that counts. */
export const recordStates = ["ok", "unknown", "differs", "missing", "conflicts"] as const;
export type RecordState = (typeof recordStates)[number];

export type Verdict = Readonly<{
  state: RecordState;
  /** What is wrong, or an "ok" worth a word; empty when there is nothing to say. */
  reason: string;
  /** One sentence about what to do; empty when there is nothing to do. */
  mend: string;
  /** Mail or the certificate fails for it although the record is only recommended. */
  grave?: boolean;
  /** All is well, but `reason` and `mend` are worth reading. */
  warning?: boolean;
}>;

export type Lookups = ReadonlyMap<string, Lookup>;

export type Judged = Readonly<{
  domain: string;
  zone: string;
  /** The relay's addresses as far as they are known. */
  addresses: readonly string[];
  /** Names that nobody has and that were asked for: what is there comes from a wildcard. */
  nobodies: readonly string[];
  /** It is a relay of ours: whether an address is the relay's can be told, or is to be asked. */
  isKnown: boolean;
  /** How the relay proves its names to an authority; undefined: not known. */
  challenge?: Challenge | undefined;
}>;

export const fine: Verdict = { state: "ok", reason: "", mend: "" };
/** Longer values are pointed to rather than written out. */
const MAX_VALUE_LENGTH = 80;

export function at(lookups: Lookups, question: RelayQuestion): Lookup {
  return lookups.get(lookupKey(question)) ?? { kind: "failed", reason: "was not asked" };
}

/** Whether the answer is a wildcard's (RFC 4592), which gives way to a record of the name's own. */
export function isFromWildcard(
  { name, type }: RelayQuestion,
  lookups: Lookups,
  nobodies: readonly string[],
): boolean {
  const text = JSON.stringify(sorted(at(lookups, { name, type })));
  return nobodies.some((nobody) => {
    const lookup = at(lookups, { name: nobody, type });
    const isThere = lookup.kind === "values" || lookup.kind === "alias";
    return isThere && JSON.stringify(sorted(lookup)) === text;
  });
}

/** Servers give the values in any order. */
function sorted(lookup: Lookup): unknown {
  const { kind } = lookup;
  if (kind === "alias") return [kind, lookup.target];
  return kind === "values" ? lookup.values.map((value) => JSON.stringify(value)).sort() : kind;
}

/** What a server has, also behind an alias. */
export function valuesOf(lookup: Lookup): readonly RecordData[] {
  return lookup.kind === "values" || lookup.kind === "alias" ? lookup.values : [];
}

/** Host names have a dot at their end already. */
function sentence(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}

/** "Add …" for all wanted records of a question. */
export function addThem({ name, type, records }: Wanted): string {
  const values = records.map(presentation);
  const shown = values.every((value) => value.length <= MAX_VALUE_LENGTH)
    ? `: ${values.join(" and ")}`
    : ` as ./homing dns zone prints it`;
  return sentence(`Add a record ${name} ${type}${shown}`);
}

export function replaceBy({ name, type, records }: Wanted): string {
  const [first] = records;
  if (first === undefined) return `Change ${name} ${type}.`;
  const value = presentation(first);
  const shown = value.length <= MAX_VALUE_LENGTH ? value : "what ./homing dns zone prints";
  return sentence(`Change ${name} ${type} to ${shown}`);
}

/** A name with an alias has nothing else (RFC 1034 §3.6.2). */
export function aliasConflict({ name, type }: RelayQuestion, target: string): Verdict {
  const parking = isParkingName(target) ? ", a parking page of the registrar" : "";
  return {
    state: "conflicts",
    reason: `${name} is an alias (CNAME) of ${target}${parking}, so it can have no ${type} record`,
    mend: `Remove the CNAME record at ${name}.`,
  };
}
