/**
 * A zone on a name server that takes changes over the DNS itself (RFC 2136), signed by TSIG (RFC 8945), over TCP: a
 * DnsProvider for BIND, Knot, PowerDNS and those registrars that offer it. All of a change goes in one message, which the
 * server does whole or not at all, and only while the sets are still what was read.
 */
import { type DnsProvider, DnsProviderError, type SetName } from "./provider.ts";
import { rdataBytes, rdataOf, rdataText, typeName, typeNumber } from "./rdata.ts";
import { groupValues, isSameName, type RecordSet, type ValueRow } from "./record-set.ts";
import { askServer, type Rfc2136Options, refused, transferZone } from "./tsig-exchange.ts";
import { dnsClasses, dnsTypes, type ResourceRecord, recordBytes } from "./wire.ts";
import { isInZone } from "./zone-names.ts";

/** RFC 1035 §4.1.1, RFC 2136 §2.2: opcodes in the field of flags. */
const QUERY = 0;
const UPDATE = 5 << 11;
/** Outcomes. */
const NAME_ERROR = 3;
const NOT_ZONE = 10;
/** Outcomes of a prerequisite that no longer holds (RFC 2136 §3.2). */
const SOMEBODY_ELSE = [7, 8];
/** Each one reads what there is anew; more changes in between are no coincidence. */
const MAX_ATTEMPTS = 4;
/** What the server makes itself (RFC 4034, RFC 5155). */
const signatures = ["RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY"];

/** The secret of a TSIG key file: Base64 in one line. Undefined when it is not. */
export function parseTsigSecret(text: string): Uint8Array | undefined {
  const trimmed = text.trim();
  const secret = Buffer.from(trimmed, "base64");
  const isWhole =
    trimmed !== "" && secret.toString("base64").replace(/=+$/, "") === trimmed.replace(/=+$/, "");
  return isWhole ? secret : undefined;
}

/** A record as it stands in the zone; `data` to the octet. */
type ZoneRow = ValueRow & Readonly<{ data: Buffer }>;

export function rfc2136Provider(options: Rfc2136Options): DnsProvider {
  const readSet = async ({ name, type }: SetName): Promise<ZoneRow[]> => {
    if (!isInZone(name, options.zone)) throw refused(options, `show ${name} ${type}`, NOT_ZONE);
    const question = { name, type: numberOf(type), class: dnsClasses.IN };
    const { bytes, message, outcome } = await askServer(options, QUERY, question);
    if (outcome === NAME_ERROR) return [];
    if (outcome !== 0) throw refused(options, `show ${name} ${type}`, outcome);
    const records = message.sections[0].filter((one) => one.name === name && one.type === question.type);
    return records.map((record) => rowOf(bytes, record));
  };
  const readSets = async (wanted: readonly SetName[]): Promise<ZoneRow[]> => {
    const rows: ZoneRow[] = [];
    for (const one of wanted) rows.push(...(await readSet(one)));
    return rows;
  };
  const readAll = async (): Promise<ZoneRow[]> => {
    // The SOA stands at the end once more.
    const records = (await transferZone(options)).slice(0, -1);
    return records
      .map(({ bytes, record }) => rowOf(bytes, record))
      .filter(({ type }) => !signatures.includes(type));
  };
  const change = async (zone: string, sets: readonly RecordSet[]) => {
    requireZone(options, zone);
    for (let attempt = 1; ; attempt++) {
      const rows = await readSets(sets);
      const deltas = sets.map((set) =>
        deltaOf(
          set,
          rows.filter((row) => isSameName(row, set)),
        ),
      );
      const changed = deltas.filter(({ removals, additions }) => removals.length + additions.length > 0);
      if (changed.length === 0) return;
      const question = { name: zone, type: dnsTypes.SOA, class: dnsClasses.IN };
      const { outcome } = await askServer(options, UPDATE, question, {
        prerequisites: changed.flatMap(({ prerequisites }) => prerequisites),
        // RFC 2136 §3.4.2.2: a CNAME is not added beside anything else, so what goes comes first.
        updates: [
          ...changed.flatMap(({ removals }) => removals),
          ...changed.flatMap(({ additions }) => additions),
        ],
      });
      if (outcome === 0) return;
      const what = `change ${changed.map(({ set: { name, type } }) => `${name} ${type}`).join(", ")}`;
      if (!SOMEBODY_ELSE.includes(outcome) || attempt === MAX_ATTEMPTS) throw refused(options, what, outcome);
    }
  };
  return {
    zones: async () => [options.zone],
    read: async (zone, wanted) => {
      requireZone(options, zone);
      return groupValues(wanted === undefined ? await readAll() : await readSets(wanted));
    },
    change,
    check: async (zone) => {
      requireZone(options, zone);
      const apex = { name: zone, type: "SOA" };
      if ((await readSet(apex)).length === 0) throw refused(options, `show ${zone} SOA`, NOT_ZONE);
      // An update of nothing: the server asks for the key's rights all the same (RFC 2136 §3.3), and changes nothing.
      const question = { name: zone, type: dnsTypes.SOA, class: dnsClasses.IN };
      const sections = { prerequisites: [rr(apex, dnsClasses.ANY, 0)] };
      const { outcome } = await askServer(options, UPDATE, question, sections).catch((error: unknown) => {
        if (!(error instanceof DnsProviderError) || error.problem !== "credentials") throw error;
        throw new DnsProviderError(
          `${error.message}; the key may see the zone, but not change it`,
          error.problem,
        );
      });
      if (outcome !== 0) throw refused(options, "allow a change", outcome);
      return "allowed";
    },
  };
}

function requireZone({ zone }: Rfc2136Options, asked: string) {
  if (asked === zone) return;
  throw new DnsProviderError(`the key is for changes of the zone ${zone}, not ${asked}`, "credentials");
}

function rowOf(bytes: Buffer, record: ResourceRecord): ZoneRow {
  const { name, ttl } = record;
  return {
    name,
    type: typeName(record.type),
    ttl,
    value: rdataText(bytes, record),
    data: rdataOf(bytes, record),
  };
}

/** What makes the set of the rows that are there; values that stay are left alone but for their TTL. */
function deltaOf(set: RecordSet, rows: readonly ZoneRow[]) {
  const gone = rows.filter(({ value }) => !set.values.includes(value));
  const added = set.values.filter((value) => !rows.some((row) => row.value === value));
  const renewed = rows.filter((row) => !gone.includes(row) && row.ttl !== set.ttl);
  return {
    set,
    // RFC 2136 §2.4.2, §2.4.3: the set is still what was read.
    prerequisites:
      rows.length === 0
        ? [rr(set, dnsClasses.NONE, 0)]
        : rows.map(({ data }) => rr(set, dnsClasses.IN, 0, data)),
    // RFC 2136 §2.5.4, §2.5.1.
    removals: gone.map(({ data }) => rr(set, dnsClasses.NONE, 0, data)),
    additions: [...renewed.map(({ data }) => data), ...added.map((value) => rdataBytes(set.type, value))].map(
      (data) => rr(set, dnsClasses.IN, set.ttl, data),
    ),
  };
}

function rr({ name, type }: SetName, of: number, ttl: number, data: Buffer = Buffer.alloc(0)): Buffer {
  return recordBytes({ name, type: numberOf(type), class: of, ttl, data });
}

function numberOf(type: string): number {
  const number = typeNumber(type);
  if (number === undefined) throw new DnsProviderError(`records of type ${type} are not known to the DNS`);
  return number;
}
