/**
 * Record sets at providers that keep single records: reading and changing on top of a list and three verbs, and how
 * most of them want a value, the first number of MX and SRV beside the rest. Used by such adapters in providers/, whose
 * functions do the I/O.
 */
import { DnsProviderError, type SetName } from "./provider.ts";
import type { ProviderHttp } from "./provider-http.ts";
import {
  groupValues,
  isSameName,
  type RecordSet,
  recordData,
  tidyValue,
  txtText,
  txtValue,
  type ValueRow,
} from "./record-set.ts";
import {
  applyRowChanges,
  type RowChanges,
  type RowVerbs,
  rowChanges,
  type StoredRow,
} from "./row-changes.ts";
import { relativeName } from "./zone-names.ts";

export type SingleRecords<Row extends StoredRow> = Readonly<{
  /** All records of the zone. */
  list(zone: string): Promise<Row[]>;
  /** What to send for one record; or, where all goes in one request, what to do with the changes. */
  change(zone: string, rows: readonly Row[]): Promise<RowVerbs | ((changes: RowChanges) => Promise<void>)>;
  /** What the provider makes of a TTL. In seconds. */
  ttlOf?(seconds: number, rows: readonly Row[]): number;
  /** See ProviderDescription. */
  approximate?(set: RecordSet): RecordSet;
}>;

/** `read` and `change` of a provider with such records. */
export function setsOfSingleRecords<Row extends StoredRow>(api: SingleRecords<Row>) {
  const { list, ttlOf = (ttl) => ttl, approximate = (set) => set } = api;
  return {
    read: async (zone: string, wanted?: readonly SetName[]): Promise<RecordSet[]> => {
      const sets = groupValues(await list(zone));
      return sets.filter((set) => wanted?.some((one) => isSameName(one, set)) ?? true);
    },
    change: async (zone: string, sets: readonly RecordSet[]): Promise<void> => {
      const rows = await list(zone);
      const changes = rowChanges(rows, sets.map(approximate), (ttl) => ttlOf(ttl, rows));
      if (Object.values(changes).every((some) => some.length === 0)) return;
      const how = await api.change(zone, rows);
      if (typeof how === "function") await how(changes);
      else await applyRowChanges(changes, how);
    },
  };
}

/** Whether only the TTL changes: then a value that others wrote need not be written again in our form. */
export function isOnlyTtl(row: StoredRow, to: ValueRow): boolean {
  return tidyValue(row.type, row.value) === to.value;
}

/**
 * The verbs of an interface that takes records at `path` by POST, and at `path`/ID by PATCH, which keeps what is not
 * named, and DELETE. `fieldsOf` gives what it wants of a record beside type and name.
 */
export function patchedRecords(
  http: ProviderHttp,
  zone: string,
  path: string,
  fieldsOf: (row: ValueRow) => object,
): RowVerbs {
  const patch = (row: StoredRow, body: unknown) =>
    http.send({
      ...{ method: "PATCH", path: `${path}/${row.id}`, body, what: changeWords("change", row) },
      repeatable: true,
    });
  return {
    create: (row) => {
      const body = { type: row.type, name: relativeName(row.name, zone), ...fieldsOf(row) };
      return http.send({ method: "POST", path, body, what: changeWords("create", row) });
    },
    update: (row, to) => patch(row, isOnlyTtl(row, to) ? { ttl: to.ttl } : fieldsOf(to)),
    remove: (row) => {
      const what = changeWords("delete", row);
      return http.send({ method: "DELETE", path: `${path}/${row.id}`, what, accept: [404] });
    },
  };
}

/** "create www.example.org CNAME", for messages. */
export function changeWords(verb: string, { name, type }: SetName): string {
  return `${verb} ${name} ${type}`;
}

/** How a provider wants a value. */
export type ContentStyle = Readonly<{
  /** Host names end in a dot. */
  finalDot: boolean;
  /** TXT as it is, or as the function writes it. */
  txt: "bare" | ((value: string) => string);
}>;

/** A canonical value as `content` and, of MX and SRV, `priority`. */
export function contentOf(
  { type, value }: Pick<ValueRow, "type" | "value">,
  { finalDot, txt }: ContentStyle,
): Readonly<{ content: string; priority?: number }> {
  const host = (name: string) => (finalDot ? `${name}.` : name);
  if (type === "TXT") return { content: txt === "bare" ? bareText(value) : txt(value) };
  if (["NS", "PTR", "ALIAS", "ANAME"].includes(type)) return { content: host(value.replace(/\.$/, "")) };
  if (!["CNAME", "MX", "SRV"].includes(type)) return { content: value };
  const data = recordData(type, value);
  switch (data.type) {
    case "MX":
      return { content: host(data.exchange), priority: data.preference };
    case "SRV":
      return { content: `${data.weight} ${data.port} ${host(data.target)}`, priority: data.priority };
    default:
      return { content: data.type === "CNAME" ? host(data.target) : value };
  }
}

/** Who takes bare text puts it between quotes himself, so that these would not come back as they went. */
function bareText(value: string): string {
  const text = txtText(value);
  if (/["\\]/.test(text) || !/^[ -~]*$/.test(text)) {
    throw new DnsProviderError(
      `a TXT value with quotes, backslashes or other signs than ASCII cannot be written there: ${value}`,
    );
  }
  return text;
}

/** The other way: what the provider lists as a value, to be made canonical by whoever groups it. */
export function keptValue(type: string, content: string, priority?: number | null): string {
  if (type === "MX" || type === "SRV") return `${priority ?? 0} ${content}`;
  return type === "TXT" && !content.startsWith('"') ? txtValue(content) : content;
}

/** Pages that only a mistake would have more of. */
const MAX_PAGES = 1000;

/** All entries of a list in pages: they are asked for, from 1 on, until one says that it is the last. */
export async function allPages<Entry>(
  page: (number: number) => Promise<Readonly<{ entries: readonly Entry[]; isLast: boolean }>>,
): Promise<Entry[]> {
  const all: Entry[] = [];
  for (let number = 1; number <= MAX_PAGES; number++) {
    const { entries, isLast } = await page(number);
    all.push(...entries);
    if (isLast) return all;
  }
  throw new DnsProviderError(`a list of the provider has more than ${MAX_PAGES} pages`, "unreachable");
}
