/** Stands in for DNSimple's API v2: an account's number in every path, TXT as quoted strings, pages of at most 100. */
import { dnsimple } from "../../../appliance/dns/providers/dnsimple.ts";
import { txtStrings, type ValueRow } from "../../../appliance/dns/record-set.ts";
import type { FakeAnswer, FakeProvider } from "./fake-provider.ts";
import {
  absolute,
  apexRows,
  type Conflict,
  contentAndPriority,
  pageOf,
  recordStore,
  relative,
  type Stored,
  valueFrom,
} from "./record-store.ts";

const TOKEN = "dnsimple_a_0123456789abcdef0123456789abcdef";
const ACCOUNT = 1010;

type Fields = Partial<
  Readonly<{ type: string; name: string; content: string; priority: number | null; ttl: number }>
>;

const failed = (
  status: number,
  message: string,
  errors?: Readonly<Record<string, string[]>>,
): FakeAnswer => ({
  status,
  body: errors === undefined ? { message } : { message, errors },
});
const conflicts = {
  duplicate: failed(400, "Validation failed", { base: ["Zone record already exists"] }),
  cname: failed(400, "Validation failed", { base: ["conflicts with CNAME record"] }),
  missing: failed(404, "Record not found"),
} as const;

/** `ofUser`: the token is a user's, who has two accounts. */
export function fakeDnsimple(zone: string, rows: readonly ValueRow[], ofUser = false): FakeProvider {
  const store = recordStore([...apexRows(zone, ["ns1.dnsimple.com", "ns2.dnsimple-edge.net"]), ...rows]);
  const shown = (record: Stored) => {
    const { id, type, ttl, value } = record;
    const { content, priority = null } = contentAndPriority(record);
    const written = type === "TXT" ? txtStrings(value).join(" ") : type === "SRV" ? `${content}.` : content;
    return {
      ...{
        id,
        zone_id: zone,
        parent_id: null,
        name: relative(record.name, zone),
        content: written,
        ttl,
        priority,
        type,
      },
      ...{ regions: ["global"], system_record: type === "NS", created_at: "2018-07-09T05:31:46Z" },
    };
  };
  const listed = (all: readonly unknown[], query: URLSearchParams): FakeAnswer => {
    const { page, size, pages, entries } = pageOf(all, query, "per_page", 30, 100);
    const pagination = { current_page: page, per_page: size, total_entries: all.length, total_pages: pages };
    return { status: 200, body: { data: entries, pagination } };
  };
  const valueOf_ = (type: string, { content = "", priority }: Fields): string | FakeAnswer => {
    if (type === "TXT" && !/^"/.test(content))
      return failed(400, "Validation failed", { content: ["must be quoted"] });
    return valueFrom(type, content, priority ?? 0);
  };
  const outcome = (done: Stored | Conflict, status: number): FakeAnswer =>
    typeof done === "object" ? { status, body: { data: shown(done) } } : conflicts[done];

  const base = `/${ACCOUNT}/zones/${zone}/records`;
  return {
    description: dnsimple,
    credentials: { token: TOKEN },
    wrongCredentials: { token: TOKEN.replace("0123", "3210") },
    baseUrl: "https://api.dnsimple.com/v2",
    rows: () => [...store.all()],
    isRead: ({ method }) => method === "GET",
    failures: {
      forbidden: failed(403, "Permission denied. Required scope: zones:*:write"),
      busy: failed(429, "Quota exceeded"),
      broken: failed(500, "Internal server error"),
    },
    answer: ({ method, path, query, headers, body }) => {
      if (headers.get("authorization") !== `Bearer ${TOKEN}`) return failed(401, "Authentication failed");
      if (method === "GET" && path === "/whoami") {
        const account = { id: ACCOUNT, email: "owner@example.org", plan_identifier: "solo-v2-monthly" };
        return {
          status: 200,
          body: { data: ofUser ? { user: { id: 1 }, account: null } : { user: null, account } },
        };
      }
      if (method === "GET" && path === "/accounts")
        return { status: 200, body: { data: [{ id: 1000 }, { id: ACCOUNT }] } };
      if (method === "GET" && path === "/1000/zones") return listed([{ name: "elsewhere.example" }], query);
      if (method === "GET" && path === `/${ACCOUNT}/zones`) {
        return listed(
          [
            { id: 1, name: zone },
            { id: 2, name: "other.example" },
          ],
          query,
        );
      }
      const fields = (body ?? {}) as Fields;
      if (method === "GET" && path === base) return listed(store.all().map(shown), query);
      if (method === "POST" && path === base) {
        const { type = "", name = "", ttl = 3600 } = fields;
        const value = valueOf_(type, fields);
        return typeof value === "object"
          ? value
          : outcome(store.add({ name: absolute(name, zone), type, ttl, value }), 201);
      }
      const before = store.all().find(({ id }) => path === `${base}/${id}`);
      if (before === undefined) return failed(404, "Record not found");
      if (before.type === "NS") return failed(400, "System records cannot be changed");
      if (method === "DELETE") return { status: store.remove(before.id) ? 204 : 404 };
      const value = fields.content === undefined ? before.value : valueOf_(before.type, fields);
      if (typeof value === "object") return value;
      return outcome(store.change(before.id, { value, ttl: fields.ttl ?? before.ttl }), 200);
    },
  };
}
