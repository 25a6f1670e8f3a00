/** Stands in for Njalla's API: everything by POST to one address, errors in answers of status 200. */
import { njalla } from "../../../appliance/dns/providers/njalla.ts";
import { txtText, txtValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import type { FakeAnswer, FakeProvider } from "./fake-provider.ts";
import {
  absolute,
  type Conflict,
  contentAndPriority,
  fieldsWithoutDot,
  recordStore,
  relative,
  type Stored,
  valueFrom,
} from "./record-store.ts";

const TOKEN = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
const TTLS = [60, 300, 900, 3600, 10800, 21600, 86400];

type Params = Partial<Readonly<Record<"domain" | "type" | "name" | "content", string>>> &
  Partial<Readonly<Record<"id" | "ttl" | "prio" | "weight" | "port", number>>>;

const jsonrpc = "2.0";
const failed = (code: number, message: string): FakeAnswer => ({
  status: 200,
  body: { error: { code, message }, jsonrpc },
});
const done = (result: object): FakeAnswer => ({ status: 200, body: { result, jsonrpc } });
const conflicts = {
  duplicate: failed(400, "Record already exists"),
  cname: failed(400, "CNAME records can not coexist with other records"),
  missing: failed(404, "Record not found"),
} as const;

/** Numbers of records as they were until 2020, and records that its own clients keep. */
type NjallaQuirks = Readonly<{ ids?: "number" | "text"; dynamic?: readonly object[] }>;

export function fakeNjalla(
  zone: string,
  rows: readonly ValueRow[],
  { ids = "text", dynamic = [] }: NjallaQuirks = {},
): FakeProvider {
  const store = recordStore(rows);
  const shown = (record: Stored) => {
    const { type, ttl, value } = record;
    const base = {
      id: ids === "text" ? String(record.id) : record.id,
      name: relative(record.name, zone) || "@",
      type,
      ttl,
    };
    if (type === "SRV") {
      const [prio, weight, port, content] = fieldsWithoutDot(value);
      return { ...base, content, prio: Number(prio), weight: Number(weight), port: Number(port) };
    }
    const { content, priority } = contentAndPriority(record);
    const written = type === "TXT" ? txtText(value) : content;
    return { ...base, content: written, ...(priority === undefined ? {} : { prio: priority }) };
  };
  const valueOf_ = (type: string, { content = "", prio, weight, port }: Params): string | FakeAnswer => {
    if (type === "TXT") return txtValue(content);
    if (type === "SRV") return `${prio} ${weight} ${port} ${content}`;
    return valueFrom(type, content, prio);
  };
  const outcome = (record: Stored | Conflict): FakeAnswer =>
    typeof record === "object" ? done(shown(record)) : conflicts[record];
  return {
    description: njalla,
    credentials: { token: TOKEN },
    wrongCredentials: { token: TOKEN.replace("0", "1") },
    baseUrl: "https://njal.la/api/1",
    rows: () => [...store.all()],
    isRead: ({ body }) => /^list-/.test((body as { method: string }).method),
    failures: {
      forbidden: failed(403, "permission denied"),
      busy: { status: 429, body: "slow down" },
      broken: { status: 502, body: "<html>Bad Gateway" },
    },
    answer: ({ method, path, headers, body }) => {
      if (method !== "POST" || path !== "/") return { status: 404, body: "<html>" };
      if (headers.get("authorization") !== `Njalla ${TOKEN}`) return failed(403, "Invalid token.");
      const { method: verb, params } = body as { method: string; params: Params };
      if (verb === "list-domains")
        return done({
          domains: [
            { name: zone, status: "active" },
            { name: "other.example", status: "active" },
          ],
        });
      if (params.domain !== zone) return failed(403, "permission denied");
      const { ttl = 10800, type = "", name = "" } = params;
      if (!TTLS.includes(ttl)) return failed(400, "invalid ttl");
      if (verb === "list-records") {
        return done({ records: [...store.all().map(shown), ...dynamic] });
      }
      if (verb === "add-record") {
        if (name === "") return failed(400, "missing name");
        const value = valueOf_(type, params);
        return typeof value === "object"
          ? value
          : outcome(store.add({ name: absolute(name, zone), type, ttl, value }));
      }
      const before = store
        .all()
        .find(({ id }) => String(id) === String(params.id) && (ids === "text" || id === params.id));
      if (before === undefined) return conflicts.missing;
      if (verb === "remove-record") return store.remove(before.id) ? done({}) : conflicts.missing;
      if (verb !== "edit-record") return failed(400, "unknown method");
      const value = valueOf_(before.type, params);
      return typeof value === "object" ? value : outcome(store.change(before.id, { value, ttl }));
    },
  };
}
