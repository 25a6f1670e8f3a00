/** Stands in for Name.com's Core API: login by user name and token, no CAA, the domain itself without "host". */
import { namecom } from "../../../appliance/dns/providers/namecom.ts";
import { txtText, txtValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import type { FakeAnswer, FakeProvider } from "./fake-provider.ts";
import {
  absolute,
  type Conflict,
  contentAndPriority,
  recordStore,
  relative,
  type Stored,
  valueFrom,
} from "./record-store.ts";

const TOKEN = "0123456789abcdef0123456789abcdef01234567";
const LOGIN = `Basic ${btoa(`owner:${TOKEN}`)}`;
const PAGE = 250;

type Fields = Partial<
  Readonly<{ type: string; host: string; answer: string; priority: number; ttl: number }>
>;

const failed = (status: number, message: string, details?: string): FakeAnswer => ({
  status,
  body: details === undefined ? { message } : { message, details },
});
const conflicts = {
  duplicate: failed(400, "Invalid Argument", "Parameter Value Error - Duplicate Record"),
  cname: failed(400, "Invalid Argument", "Parameter Value Error - CNAME Conflict"),
  missing: failed(404, "Not Found"),
} as const;
const TYPES = ["A", "AAAA", "ANAME", "CNAME", "MX", "NS", "SRV", "TXT"];

export function fakeNamecom(zone: string, rows: readonly ValueRow[]): FakeProvider {
  const store = recordStore(rows);
  const shown = (record: Stored) => {
    const { id, type, ttl, value } = record;
    const { content, priority } = contentAndPriority(record);
    const host = relative(record.name, zone);
    return {
      ...{ id, domainName: zone, ...(host === "" ? {} : { host }), fqdn: `${record.name}.`, type, ttl },
      ...{ answer: type === "TXT" ? txtText(value) : content, ...(priority ? { priority } : {}) },
    };
  };
  const listed = (key: string, all: readonly unknown[], query: URLSearchParams): FakeAnswer => {
    const page = Number(query.get("page") ?? 1);
    const entries = all.slice((page - 1) * PAGE, page * PAGE);
    const lastPage = Math.max(1, Math.ceil(all.length / PAGE));
    return {
      status: 200,
      body: { [key]: entries, ...(page < lastPage ? { nextPage: page + 1, lastPage } : {}) },
    };
  };
  const rowOf = ({
    type = "",
    host = "",
    answer = "",
    priority = 0,
    ttl = 300,
  }: Fields): ValueRow | FakeAnswer => {
    if (!TYPES.includes(type)) return failed(400, "Invalid Argument", "Parameter Value Error - Invalid Type");
    if (ttl < 300) return failed(400, "Invalid Argument", "Parameter Value Error - Invalid TTL");
    if (/"/.test(answer) || answer.endsWith("."))
      return failed(400, "Invalid Argument", "Parameter Value Error - Invalid Answer");
    const value = type === "TXT" ? txtValue(answer) : valueFrom(type, answer, priority);
    return { name: absolute(host, zone), type, ttl, value };
  };
  const outcome = (done: Stored | Conflict): FakeAnswer =>
    typeof done === "object" ? { status: 200, body: shown(done) } : conflicts[done];
  const base = `/domains/${zone}/records`;
  return {
    description: namecom,
    credentials: { username: "owner", token: TOKEN },
    wrongCredentials: { username: "owner", token: TOKEN.replace("0", "1") },
    baseUrl: "https://api.name.com/core/v1",
    rows: () => [...store.all()],
    isRead: ({ method }) => method === "GET",
    failures: {
      forbidden: failed(403, "Permission Denied"),
      busy: failed(429, "Too Many Requests"),
      broken: failed(500, "Internal Error"),
    },
    answer: ({ method, path, query, headers, body }) => {
      if (headers.get("authorization") !== LOGIN) return failed(401, "Unauthenticated");
      if (method === "GET" && path === "/domains") {
        return listed("domains", [{ domainName: "other.example" }, { domainName: zone }], query);
      }
      if (!path.startsWith(base)) return failed(404, "Not Found");
      if (method === "GET") return listed("records", store.all().map(shown), query);
      if (method === "POST") {
        const row = rowOf(body as Fields);
        return "status" in row ? row : outcome(store.add(row));
      }
      const before = store.all().find(({ id }) => path === `${base}/${id}`);
      if (before === undefined) return conflicts.missing;
      if (method === "DELETE") return { status: store.remove(before.id) ? 200 : 404, body: {} };
      const row = rowOf(body as Fields);
      return "status" in row ? row : outcome(store.change(before.id, row));
    },
  };
}
