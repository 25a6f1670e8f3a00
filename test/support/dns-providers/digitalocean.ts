/** Stands in for DigitalOcean's API v2: single records in fields, "@" for the zone, links to the next page. */
import { digitalocean } from "../../../appliance/dns/providers/digitalocean.ts";
import { canonicalValue, txtText, txtValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import { conflictOf, type FakeAnswer, type FakeProvider, type FakeRequest } from "./fake-provider.ts";

type Stored = {
  id: number;
  type: string;
  name: string;
  data: string;
  priority: number | null;
  port: number | null;
  ttl: number;
  weight: number | null;
  flags: number | null;
  tag: string | null;
};

const TOKEN = `dop_v1_${"0123456789abcdef".repeat(4)}`;
const BASE = "https://api.digitalocean.com/v2";
/** In characters. */
const MAX_TEXT = 509;
const ratelimit = { "ratelimit-limit": "5000", "ratelimit-remaining": "4887" };

export function fakeDigitalocean(zone: string, rows: readonly ValueRow[]): FakeProvider {
  let lastId = 92_264_000;
  const empty = { priority: null, port: null, weight: null, flags: null, tag: null };
  const failed = (status: number, id: string, message: string): FakeAnswer => ({
    status,
    body: { id, message },
  });
  /** As it shows targets: without the dot, and "@" for the zone. */
  const shown = (target: string) => (target.replace(/\.$/, "") === zone ? "@" : target.replace(/\.$/, ""));
  const stored = ({ name, type, ttl, value }: ValueRow): Stored => {
    const base = {
      ...empty,
      id: ++lastId,
      type,
      name: name.slice(0, -zone.length).replace(/\.$/, "") || "@",
      ttl,
    };
    const [first, second, third, fourth] = value.split(" ");
    if (type === "MX") return { ...base, priority: Number(first), data: shown(second!) };
    if (type === "SRV") {
      return {
        ...base,
        priority: Number(first),
        weight: Number(second),
        port: Number(third),
        data: shown(fourth!),
      };
    }
    if (type === "CAA") return { ...base, flags: Number(first), tag: second!, data: txtText(third!) };
    return { ...base, data: type === "TXT" ? txtText(value) : shown(value) };
  };
  const apex: Stored[] = ["ns1", "ns2"].map((host) => {
    return { ...empty, id: ++lastId, type: "NS", name: "@", data: `${host}.digitalocean.com`, ttl: 1800 };
  });
  let records: Stored[] = [
    { ...apex[0]!, id: ++lastId, type: "SOA", data: "1800" },
    ...apex,
    ...rows.map(stored),
  ];

  const toCanonical = ({ type, name, data, ttl, priority, weight, port, flags, tag }: Stored): ValueRow => {
    const target = data === "@" ? zone : data;
    const text: Record<string, string> = {
      MX: `${priority} ${target}`,
      SRV: `${priority} ${weight} ${port} ${target}`,
      CAA: `${flags} ${tag} "${data}"`,
      TXT: txtValue(data),
    };
    const value = canonicalValue(type, text[type] ?? target);
    return { name: name === "@" ? zone : `${name}.${zone}`, type, ttl, value };
  };
  const write = (given: Partial<Stored>, old: Stored | undefined): FakeAnswer => {
    const { type = "", name = "", ttl = 1800 } = given;
    let { data = "" } = given;
    const invalid = (words: string) => failed(422, "unprocessable_entity", words);
    if (name === "" || name.endsWith(".")) return invalid("Name is invalid.");
    if (ttl < 30) return invalid("TTL must be greater than or equal to 30.");
    if (type === "TXT" && (data === "" || data.length > MAX_TEXT || /["\\]/.test(data)))
      return invalid("Data is invalid.");
    if (["CNAME", "MX", "SRV", "CAA"].includes(type)) {
      if (!data.endsWith(".")) return invalid("Data needs to end with a dot (.)");
      if (type === "CAA" && data.includes(";")) return invalid("Data is invalid.");
      data = type === "CAA" ? data.slice(0, -1) : shown(data);
    }
    const record: Stored = { ...empty, ...given, id: old?.id ?? ++lastId, type, name, ttl, data };
    const others = records.filter((one) => one !== old);
    const conflict = conflictOf(
      others.filter((one) => one.type !== "SOA").map(toCanonical),
      toCanonical(record),
    );
    if (conflict !== undefined) return invalid("Record conflicts with another one.");
    records = [...others, record];
    return { status: old === undefined ? 201 : 200, body: { domain_record: record }, headers: ratelimit };
  };
  const listed = (key: string, all: readonly unknown[], { query, path }: FakeRequest): FakeAnswer => {
    const page = Number(query.get("page") ?? 1);
    const size = Math.min(Number(query.get("per_page") ?? 20), 200);
    const next = page * size < all.length ? { next: `${BASE}${path}?page=${page + 1}` } : {};
    const prev = page > 1 ? { prev: `${BASE}${path}?page=${page - 1}` } : {};
    const links = all.length > size ? { pages: { ...next, ...prev } } : {};
    const body = { [key]: all.slice((page - 1) * size, page * size), links, meta: { total: all.length } };
    return { status: 200, body, headers: ratelimit };
  };
  return {
    description: digitalocean,
    credentials: { token: TOKEN },
    wrongCredentials: { token: `${TOKEN}0` },
    baseUrl: BASE,
    rows: () => records.filter(({ type }) => type !== "SOA").map(toCanonical),
    isRead: ({ method }) => method === "GET",
    failures: {
      forbidden: failed(403, "forbidden", "You are not authorized to perform this operation"),
      busy: failed(429, "too_many_requests", "API Rate limit exceeded."),
      broken: failed(500, "server_error", "Unexpected server-side error"),
    },
    answer: (request) => {
      const { method, path } = request;
      if (request.headers.get("authorization") !== `Bearer ${TOKEN}`) {
        return failed(401, "unauthorized", "Unable to authenticate you");
      }
      const domain = { name: zone, ttl: 1800, zone_file: "" };
      if (method === "GET" && path === "/domains") return listed("domains", [domain], request);
      if (method === "GET" && path === `/domains/${zone}`) return { status: 200, body: { domain } };
      const [, owner, id] = /^\/domains\/([^/]+)\/records(?:\/(\d+))?$/.exec(path) ?? [];
      if (owner === zone && id === undefined) {
        if (method === "GET") return listed("domain_records", records, request);
        if (method === "POST") return write(request.body as Stored, undefined);
      }
      const old = records.find((one) => String(one.id) === id);
      if (owner !== zone || old === undefined) {
        return failed(404, "not_found", "The resource you were accessing could not be found.");
      }
      if (method === "PUT") return write(request.body as Stored, old);
      records = records.filter((one) => one !== old);
      return { status: 204 };
    },
  };
}
