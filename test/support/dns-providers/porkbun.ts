/** Stands in for Porkbun's API v3: all by POST with the keys in the body, numbers as strings, errors with status 400. */
import { porkbun } from "../../../appliance/dns/providers/porkbun.ts";
import { canonicalValue, txtText, txtValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import { conflictOf, type FakeAnswer, type FakeProvider } from "./fake-provider.ts";

type Stored = {
  id: string;
  name: string;
  type: string;
  content: string;
  ttl: string;
  prio: string | null;
  notes: null;
};
type Fields = { name?: string; type?: string; content?: string; ttl?: string | number; prio?: string };

const keys = {
  apikey: `pk1_${"0123456789abcdef".repeat(4)}`,
  secretapikey: `sk1_${"fedcba9876543210".repeat(4)}`,
};

export function fakePorkbun(zone: string, rows: readonly ValueRow[]): FakeProvider {
  let lastId = 432_480_000;
  const failed = (message: string, status = 400): FakeAnswer => ({
    status,
    body: { status: "ERROR", message },
  });
  const succeeded = (more: object = {}): FakeAnswer => ({
    status: 200,
    body: { status: "SUCCESS", ...more },
  });
  const stored = ({ name, type, ttl, value }: ValueRow): Stored => {
    const bare = value.replace(/(.)\.$/, "$1");
    const [first = "", ...rest] = bare.split(" ");
    const hasPrio = type === "MX" || type === "SRV";
    const content = type === "TXT" ? txtText(value) : hasPrio ? rest.join(" ") : bare;
    return {
      id: String(++lastId),
      name,
      type,
      content,
      ttl: String(ttl),
      prio: hasPrio ? first : "0",
      notes: null,
    };
  };
  let records: Stored[] = [
    ...rows.map(stored),
    { ...stored({ name: zone, type: "NS", ttl: 86_400, value: "maceio.porkbun.com." }), prio: null },
  ];
  const write = (given: Fields, old: Stored | undefined): FakeAnswer => {
    const { name = "", type = "", content = "", ttl = "600", prio = "0" } = given;
    if (name === "@") return failed("Invalid name.");
    if (Number(ttl) < 600) return failed("TTL must be at least 600.");
    if (type === "TXT" ? /^"|\s$/.test(content) : content.endsWith(".")) return failed("Invalid content.");
    if (type === "CAA" && /^\d+ \w+ "[^"]*\s/.test(content)) return failed("Invalid CAA.");
    const id = old?.id ?? String(++lastId);
    const full = name === "" ? zone : `${name}.${zone}`;
    const record: Stored = { id, name: full, type, content, ttl: String(ttl), prio, notes: null };
    const others = records.filter((one) => one !== old);
    const conflict = conflictOf(others.map(toCanonical), toCanonical(record));
    if (conflict !== undefined) return failed("Edit error: We were unable to create the DNS record.");
    records = [...others, record];
    return succeeded(old === undefined ? { id: Number(id) } : {});
  };
  return {
    description: porkbun,
    credentials: { api_key: keys.apikey, secret_key: keys.secretapikey },
    wrongCredentials: { api_key: keys.apikey, secret_key: `${keys.secretapikey}0` },
    baseUrl: "https://api.porkbun.com/api/json/v3",
    rows: () => records.map(toCanonical),
    isRead: ({ path }) => /^\/(?:ping|domain\/listAll|dns\/retrieve\/)/.test(path),
    failures: {
      forbidden: failed("Domain is not opted in to API access."),
      busy: { status: 503, body: "<html>503 Service Temporarily Unavailable</html>" },
      broken: failed("Something went wrong.", 500),
    },
    answer: ({ method, path, body }) => {
      const { apikey, secretapikey, ...fields } = (body ?? {}) as Fields & Partial<typeof keys>;
      if (method !== "POST") return failed("Invalid method.");
      if (apikey !== keys.apikey || secretapikey !== keys.secretapikey)
        return failed("Invalid API key. (001)");
      if (path === "/ping") return succeeded({ yourIp: "192.0.2.10", xForwardedFor: "192.0.2.10" });
      if (path === "/domain/listAll") return succeeded({ domains: [{ domain: zone, status: "ACTIVE" }] });
      const [, verb, domain, id] =
        /^\/dns\/(retrieve|create|edit|delete)\/([^/]+)(?:\/(\d+))?$/.exec(path) ?? [];
      if (verb === undefined || domain !== zone) return failed("Invalid domain.");
      const old = records.find((one) => one.id === id);
      if (verb === "retrieve") return succeeded({ cloudflare: "enabled", records });
      if (verb === "create") return write(fields, undefined);
      if (old === undefined) return failed("Invalid record ID.");
      if (verb === "edit") return write(fields, old);
      records = records.filter((one) => one !== old);
      return succeeded();
    },
  };
}

function toCanonical({ name, type, content, ttl, prio }: Stored): ValueRow {
  const hasPrio = type === "MX" || type === "SRV";
  const value =
    type === "TXT" ? txtValue(content) : canonicalValue(type, hasPrio ? `${prio} ${content}` : content);
  return { name, type, ttl: Number(ttl), value };
}
