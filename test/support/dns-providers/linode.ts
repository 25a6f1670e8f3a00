/** Stands in for Linode's API v4: TTLs in steps, which new records get only by a change; SRV by service and protocol. */
import { linode } from "../../../appliance/dns/providers/linode.ts";
import { recordData, txtText, txtValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import type { FakeAnswer, FakeProvider } from "./fake-provider.ts";
import {
  absolute,
  contentAndPriority,
  pageOf,
  recordStore,
  relative,
  type Stored,
  valueFrom,
} from "./record-store.ts";

const TOKEN = "1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef";
const STEPS = [300, 3600, 7200, 14400, 28800, 57600, 86400, 172800, 345600, 604800, 1209600, 2419200];

type Fields = Partial<Readonly<Record<"type" | "name" | "target" | "service" | "protocol" | "tag", string>>> &
  Partial<Readonly<Record<"priority" | "weight" | "port" | "ttl_sec", number>>>;

const failed = (status: number, reason: string, field?: string): FakeAnswer => ({
  status,
  body: { errors: [field === undefined ? { reason } : { field, reason }] },
});
const reasons = {
  duplicate: "Record already exists",
  cname: "conflicts with a CNAME",
  missing: "Not found",
} as const;

export function fakeLinode(zone: string, rows: readonly ValueRow[]): FakeProvider {
  const store = recordStore(rows);
  const domains = [
    { id: 2001, domain: zone },
    { id: 2002, domain: "other.example" },
  ];
  const path_ = "/domains/2001/records";
  const shown = (record: Stored) => {
    const { id, type, ttl, value } = record;
    const { content, priority = 0 } = contentAndPriority(record);
    const name = relative(record.name, zone);
    const base = {
      ...{ id, type, name, ttl_sec: ttl, priority, weight: 0, port: 0, service: null, protocol: null },
      tag: null,
    };
    if (type === "TXT") return { ...base, target: txtText(value) };
    if (type === "CAA") {
      const data = recordData(type, value);
      return data.type === "CAA" ? { ...base, tag: data.tag, target: data.value } : base;
    }
    if (type !== "SRV") return { ...base, target: content };
    const [weight, port, target] = content.split(" ");
    const [, service, protocol] = /^(_[^.]+)\.(_.+)$/.exec(name)!;
    return { ...base, weight: Number(weight), port: Number(port), target, service, protocol };
  };
  const listed = (all: readonly unknown[], query: URLSearchParams): FakeAnswer => {
    const size = Number(query.get("page_size") ?? 100);
    if (size < 25 || size > 500) return failed(400, "Must be 25-500", "page_size");
    const { page, pages, entries } = pageOf(all, query, "page_size", 100, 500);
    // Its answers have this header always.
    return {
      status: 200,
      body: { data: entries, page, pages, results: all.length },
      headers: { "retry-after": "98" },
    };
  };
  /** What the fields of a whole record say, or why not. */
  const rowOf = (fields: Fields): ValueRow | FakeAnswer => {
    const {
      type = "",
      name = "",
      target = "",
      priority,
      weight,
      port,
      service,
      protocol,
      tag,
      ttl_sec = 0,
    } = fields;
    if (target.endsWith(".")) return failed(400, "Please enter a valid hostname", "target");
    const ttl = STEPS.find((step) => step >= ttl_sec) ?? STEPS.at(-1)!;
    if (type === "SRV") {
      if (!service || !protocol || priority === undefined) return failed(400, "is required", "service");
      const value = `${priority} ${weight} ${port} ${target}`;
      return { name: absolute(`_${service}._${protocol}`, zone), type, ttl, value };
    }
    const whole = absolute(name, zone);
    if (type === "CAA") return { name: whole, type, ttl, value: `0 ${tag} ${txtValue(target)}` };
    if (type === "TXT") {
      if (/["\\]/.test(target)) return failed(400, "invalid characters", "target");
      return { name: whole, type, ttl, value: txtValue(target) };
    }
    return { name: whole, type, ttl, value: valueFrom(type, target, priority) };
  };
  const outcome = (done: Stored | "duplicate" | "cname" | "missing"): FakeAnswer =>
    typeof done === "object"
      ? { status: 200, body: shown(done) }
      : failed(done === "missing" ? 404 : 400, reasons[done]);

  return {
    description: linode,
    credentials: { token: TOKEN },
    wrongCredentials: { token: TOKEN.replace("1", "2") },
    baseUrl: "https://api.linode.com/v4",
    rows: () => [...store.all()],
    isRead: ({ method }) => method === "GET",
    failures: {
      forbidden: failed(403, "Your OAuth token is not authorized to use this endpoint."),
      busy: failed(429, "Too many requests"),
      broken: failed(500, "Internal Server Error"),
    },
    answer: ({ method, path, query, headers, body }) => {
      if (headers.get("authorization") !== `Bearer ${TOKEN}`) return failed(401, "Invalid Token");
      if (method === "GET" && path === "/domains") return listed(domains, query);
      if (method === "GET" && path === path_) return listed(store.all().map(shown), query);
      if (method === "POST" && path === path_) {
        // The TTL of a new record is not kept.
        const row = rowOf({ ...(body as Fields), ttl_sec: 0 });
        return "status" in row ? row : outcome(store.add({ ...row, ttl: 0 }));
      }
      const id = Number(path.startsWith(`${path_}/`) ? path.slice(path_.length + 1) : Number.NaN);
      const before = store.all().find((one) => one.id === id);
      if (before === undefined) return failed(404, "Not found");
      if (method === "DELETE") return { status: store.remove(id) ? 200 : 404, body: {} };
      if (method !== "PUT") return failed(405, "Method Not Allowed");
      const { id: _id, service, protocol, ...now } = shown(before);
      const bare = (text: string | null | undefined) => (text ?? "").replace(/^_/, "");
      const row = rowOf({
        ...now,
        service: bare(service),
        protocol: bare(protocol),
        ...(body as Fields),
      } as Fields);
      return "status" in row ? row : outcome(store.change(id, row));
    },
  };
}
