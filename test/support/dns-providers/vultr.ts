/** Stands in for Vultr's API v2: pages by cursor, TXT in quotes, no final dots, answers without a body. */
import { vultr } from "../../../appliance/dns/providers/vultr.ts";
import { txtText, txtValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import type { FakeAnswer, FakeProvider } from "./fake-provider.ts";
import {
  absolute,
  apexRows,
  type Conflict,
  contentAndPriority,
  recordStore,
  relative,
  type Stored,
  valueFrom,
} from "./record-store.ts";

const KEY = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/** Small, so that there are many pages. */
const MAX_PAGE = 100;

type Fields = Partial<Readonly<{ type: string; name: string; data: string; priority: number; ttl: number }>>;

const failed = (status: number, error: string): FakeAnswer => ({ status, body: { error, status } });
const reasons = {
  duplicate: "Duplicate records are not allowed",
  cname: "CNAME conflict",
  missing: "Invalid record",
} as const;
const idOf = (id: number) => `00000000-0000-4000-8000-${String(id).padStart(12, "0")}`;

export function fakeVultr(zone: string, rows: readonly ValueRow[]): FakeProvider {
  const store = recordStore([...apexRows(zone, ["ns1.vultr.com", "ns2.vultr.com"]), ...rows]);
  const shown = (record: Stored) => {
    const { content, priority = -1 } = contentAndPriority(record);
    const data = record.type === "TXT" ? `"${txtText(record.value)}"` : content;
    return {
      id: idOf(record.id),
      type: record.type,
      name: relative(record.name, zone),
      data,
      priority,
      ttl: record.ttl,
    };
  };
  const listed = (key: string, all: readonly unknown[], query: URLSearchParams): FakeAnswer => {
    const start = Number(atob(query.get("cursor") ?? "") || 0);
    const end = start + Math.min(Number(query.get("per_page") ?? 25), MAX_PAGE);
    const links = { next: end < all.length ? btoa(String(end)) : "", prev: "" };
    return { status: 200, body: { [key]: all.slice(start, end), meta: { total: all.length, links } } };
  };
  const valueOf_ = (type: string, { data = "", priority = 0 }: Fields): string | FakeAnswer => {
    if (/\.$/.test(data)) return failed(400, "Invalid data");
    if (type !== "TXT") return valueFrom(type, data, priority);
    const [, text] = /^"([^"]*)"$/.exec(data) ?? [];
    return text === undefined ? failed(400, "TXT data must be in quotes") : txtValue(text);
  };
  const outcome = (done: Stored | Conflict, well: (record: Stored) => FakeAnswer): FakeAnswer =>
    typeof done === "object" ? well(done) : failed(done === "missing" ? 404 : 400, reasons[done]);

  const recordsPath = `/domains/${zone}/records`;
  return {
    description: vultr,
    credentials: { token: KEY },
    wrongCredentials: { token: KEY.toLowerCase() },
    baseUrl: "https://api.vultr.com/v2",
    rows: () => [...store.all()],
    isRead: ({ method }) => method === "GET",
    failures: {
      forbidden: failed(403, "Unauthorized IP address: 192.0.2.99"),
      busy: failed(429, "Rate limit reached"),
      broken: failed(503, "Service unavailable"),
    },
    answer: ({ method, path, query, headers, body }) => {
      if (headers.get("authorization") !== `Bearer ${KEY}`) return failed(401, "Invalid API token.");
      const fields = (body ?? {}) as Fields;
      if (fields.ttl !== undefined && fields.ttl < 120) return failed(400, "Invalid TTL");
      if (method === "GET" && path === "/domains") {
        return listed(
          "domains",
          [zone, "other.example"].map((domain) => ({ domain, date_created: "2021-03-27T09:40:29+00:00" })),
          query,
        );
      }
      if (!path.startsWith(recordsPath)) return failed(404, "Invalid domain.");
      if (method === "GET") return listed("records", store.all().map(shown), query);
      if (method === "POST") {
        const { type = "", name = "", ttl = 300 } = fields;
        const value = valueOf_(type, fields);
        if (typeof value === "object") return value;
        return outcome(store.add({ name: absolute(name, zone), type, ttl, value }), (record) => ({
          ...{ status: 201, body: { record: shown(record) } },
        }));
      }
      const before = store.all().find(({ id }) => `${recordsPath}/${idOf(id)}` === path);
      if (before === undefined) return failed(404, "Invalid record");
      if (method === "DELETE") return { status: store.remove(before.id) ? 204 : 404 };
      const value = fields.data === undefined ? before.value : valueOf_(before.type, fields);
      if (typeof value === "object") return value;
      return outcome(store.change(before.id, { value, ttl: fields.ttl ?? before.ttl }), () => ({
        status: 204,
      }));
    },
  };
}
