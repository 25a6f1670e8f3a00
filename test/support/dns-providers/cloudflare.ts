/** Stands in for Cloudflare's API v4: its list of zones, records by page, and batches that are done whole or not at all. */
import { cloudflare } from "../../../appliance/dns/providers/cloudflare.ts";
import { canonicalValue, txtValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import { conflictOf, type FakeAnswer, type FakeProvider, type FakeRequest } from "./fake-provider.ts";

type Stored = {
  id: string;
  name: string;
  type: string;
  content: string;
  ttl: number;
  priority?: number;
  proxied: boolean;
  data?: Record<string, string | number>;
};
type Batch = Partial<Record<"deletes" | "patches" | "puts" | "posts", Partial<Stored>[]>>;

const TOKEN = "cf-0123456789abcdef0123456789abcdef01234567";
const ZONE_ID = "00000000000000000000000000002001";
const MAX_PAGE = 100;

export function fakeCloudflare(
  zone: string,
  rows: readonly ValueRow[],
  permissions = ["#dns_records:edit", "#dns_records:read", "#zone:read"],
): FakeProvider {
  let lastId = 0;
  const stored = (given: Partial<Stored>): Stored => {
    const { name = "", type = "", data, ttl = 1, proxied = false, priority } = given;
    const content =
      data === undefined
        ? (given.content ?? "")
        : type === "SRV"
          ? `${data.weight}\t${data.port}\t${data.target}`
          : `${data.flags} ${data.tag} "${data.value}"`;
    const id = given.id ?? String(++lastId).padStart(32, "0");
    return {
      ...{ id, name: name.toLowerCase(), type, content, proxied, ttl },
      ...(type === "SRV" ? { priority: Number(data?.priority) } : priority === undefined ? {} : { priority }),
      ...(data === undefined ? {} : { data }),
    };
  };
  let records = rows.map((row) => stored(fromCanonical(row)));
  const failed = (status: number, code: number, message: string): FakeAnswer => ({
    status,
    body: { result: null, success: false, errors: [{ code, message }], messages: [] },
  });
  const listed = (all: readonly unknown[], { query }: FakeRequest): FakeAnswer => {
    const number = Number(query.get("page") ?? 1);
    const size = Math.min(Number(query.get("per_page") ?? 20), MAX_PAGE);
    const result = all.slice((number - 1) * size, number * size);
    const total_pages = Math.max(1, Math.ceil(all.length / size));
    const result_info = {
      page: number,
      per_page: size,
      count: result.length,
      total_count: all.length,
      total_pages,
    };
    return { status: 200, body: { result, success: true, errors: [], messages: [], result_info } };
  };
  const zones = [zone, "other.example"].map((name, index) => {
    const id = index === 0 ? ZONE_ID : ZONE_ID.replace("1", "2");
    const name_servers = ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"];
    return { id, name, status: "active", paused: false, type: "full", name_servers, permissions };
  });
  const written = ({ proxied, ...record }: Stored) => ({
    ...record,
    ...{ proxiable: ["A", "AAAA", "CNAME"].includes(record.type), proxied },
    ...{ settings: {}, meta: {}, comment: null, tags: [] },
  });

  const batch = ({ deletes = [], puts = [], posts = [] }: Batch): FakeAnswer => {
    if (deletes.length + puts.length + posts.length > 200) return failed(400, 9207, "Too many operations.");
    let next = [...records];
    for (const { id } of deletes) {
      if (!next.some((one) => one.id === id)) return failed(404, 81044, "Record does not exist.");
      next = next.filter((one) => one.id !== id);
    }
    for (const given of [...puts, ...posts]) {
      if (given.id !== undefined && !next.some(({ id }) => id === given.id)) {
        return failed(404, 81044, "Record does not exist.");
      }
      const record = stored(given);
      if (record.ttl !== 1 && (record.ttl < 60 || record.ttl > 86_400))
        return failed(400, 9021, "Invalid TTL.");
      if (record.type === "TXT" && !/^"/.test(record.content))
        return failed(400, 9207, "Text without quotes.");
      const others = next.filter(({ id }) => id !== record.id);
      const conflict = conflictOf(others.map(toCanonical), toCanonical(record));
      if (conflict === "duplicate") return failed(400, 81058, "An identical record already exists.");
      if (conflict === "cname") {
        return failed(400, 81053, "An A, AAAA, or CNAME record with that host already exists.");
      }
      next = [...others, record];
    }
    records = next;
    return { status: 200, body: { result: {}, success: true, errors: [], messages: [] } };
  };

  return {
    description: cloudflare,
    credentials: { token: TOKEN },
    wrongCredentials: { token: `${TOKEN}-wrong` },
    baseUrl: "https://api.cloudflare.com/client/v4",
    rows: () => records.map(toCanonical),
    isRead: ({ method }) => method === "GET",
    failures: {
      forbidden: failed(403, 10000, "Authentication error"),
      busy: failed(429, 10429, "Rate limited."),
      broken: failed(500, 10001, "Internal error"),
    },
    answer: (request) => {
      const { method, path, query } = request;
      if (request.headers.get("authorization") !== `Bearer ${TOKEN}`) {
        return failed(401, 10000, "Authentication error");
      }
      if (method === "GET" && path === "/zones") {
        return listed(
          zones.filter(({ name }) => (query.get("name") ?? name) === name),
          request,
        );
      }
      const records_ = `/zones/${ZONE_ID}/dns_records`;
      if (method === "GET" && path === records_) return listed(records.map(written), request);
      if (method === "POST" && path === `${records_}/batch`) return batch(request.body as Batch);
      return failed(404, 7003, "Could not route to the path.");
    },
  };
}

function fromCanonical({ name, type, ttl, value }: ValueRow): Partial<Stored> {
  const fields = value.split(" ").map((field) => field.replace(/(.)\.$/, "$1"));
  const base = { name, type, ttl };
  if (type === "MX") return { ...base, priority: Number(fields[0]), content: fields[1]! };
  if (type === "SRV") {
    const [priority, weight, port, target] = fields;
    return { ...base, data: { priority: priority!, weight: weight!, port: port!, target: target! } };
  }
  if (type === "CAA") {
    const [, flags, tag, text] = /^(\d+) (\w+) "(.*)"$/.exec(value)!;
    return { ...base, data: { flags: flags!, tag: tag!, value: text! } };
  }
  return { ...base, content: type === "TXT" ? value : value.replace(/\.$/, "") };
}

function toCanonical({ name, type, ttl, content, priority, data, proxied }: Stored): ValueRow {
  const text = (): string => {
    if (type === "MX") return `${priority} ${content}`;
    if (type === "SRV") return `${data!.priority} ${data!.weight} ${data!.port} ${data!.target}`;
    if (type === "CAA") return `${data!.flags} ${data!.tag} ${txtValue(String(data!.value))}`;
    return content;
  };
  const value = canonicalValue(type, text()) + (proxied ? " proxied" : "");
  return { name, type, ttl: ttl === 1 ? 300 : ttl, value };
}
