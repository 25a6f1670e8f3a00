/**
 * What the stand-ins of providers with single records have in common: records with numbers and canonical values, which
 * two of a kind or beside an alias may not be. How a provider writes them is each stand-in's own.
 */
import { canonicalValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import { conflictOf } from "./fake-provider.ts";

export type Stored = ValueRow & Readonly<{ id: number }>;
export type Conflict = "duplicate" | "cname" | "missing";

export type RecordStore = Readonly<{
  all(): readonly Stored[];
  /** The record as it is kept, or why it is not. */
  add(row: ValueRow): Stored | Conflict;
  /** Only what is given changes. */
  change(id: number, fields: Partial<ValueRow>): Stored | Conflict;
  remove(id: number): boolean;
}>;

export function recordStore(rows: readonly ValueRow[], firstId = 1000): RecordStore {
  let lastId = firstId;
  let stored: Stored[] = rows.map((row) => ({ ...row, id: ++lastId }));
  const put = (record: Stored): Stored | Conflict => {
    const others = stored.filter(({ id }) => id !== record.id);
    const conflict = conflictOf(others, record);
    if (conflict !== undefined) return conflict;
    stored = stored.some(({ id }) => id === record.id)
      ? stored.map((one) => (one.id === record.id ? record : one))
      : [...stored, record];
    return record;
  };
  const tidy = (row: ValueRow): ValueRow => ({
    ...row,
    name: row.name.toLowerCase(),
    value: canonicalValue(row.type, row.value),
  });
  return {
    all: () => stored,
    add: (row) => put({ ...tidy(row), id: ++lastId }),
    change: (id, fields) => {
      const before = stored.find((one) => one.id === id);
      return before === undefined ? "missing" : put({ ...tidy({ ...before, ...fields }), id });
    },
    remove: (id) => {
      const length = stored.length;
      stored = stored.filter((one) => one.id !== id);
      return stored.length < length;
    },
  };
}

/** The zone's own records, which providers show but do not let be changed. */
export function apexRows(zone: string, nameServers: readonly string[]): ValueRow[] {
  return nameServers.map((server) => ({ name: zone, type: "NS", ttl: 3600, value: `${server}.` }));
}

/** A page of the list, counted from 1, and how many there are. */
export function pageOf<Entry>(
  all: readonly Entry[],
  query: URLSearchParams,
  key: string,
  usual: number,
  most: number,
) {
  const page = Number(query.get("page") ?? 1);
  const size = Math.min(Number(query.get(key) ?? usual), most);
  const pages = Math.max(1, Math.ceil(all.length / size));
  return { page, size, pages, entries: all.slice((page - 1) * size, page * size) };
}

/** "10 mail.example.org." as ["10", "mail.example.org"]. */
export function fieldsWithoutDot(value: string): string[] {
  return value.split(" ").map((field) => field.replace(/(.)\.$/, "$1"));
}

/** A canonical value as most write it: the first number of MX and SRV apart, no final dots. */
export function contentAndPriority({
  type,
  value,
}: ValueRow): Readonly<{ content: string; priority: number | undefined }> {
  if (type === "CAA" || type === "TXT") return { content: value, priority: undefined };
  const [first, ...rest] = fieldsWithoutDot(value);
  if (type !== "MX" && type !== "SRV") return { content: first!, priority: undefined };
  return { content: rest.join(" "), priority: Number(first) };
}

/** And back; `content` must be whole: "1 443 host" for SRV. */
export function valueFrom(type: string, content: string, priority: number | undefined): string {
  return type === "MX" || type === "SRV" ? `${priority} ${content}` : content;
}

export const relative = (name: string, zone: string) =>
  name === zone ? "" : name.slice(0, -zone.length - 1);
export const absolute = (name: string, zone: string) =>
  name === "" || name === "@" ? zone : `${name}.${zone}`;
