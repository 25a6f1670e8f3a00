/** Stands in for Gandi's LiveDNS: record sets by name and type, texts read back in quotes, names relative to the zone. */
import { gandi } from "../../../appliance/dns/providers/gandi.ts";
import { canonicalValue, groupValues, type ValueRow } from "../../../appliance/dns/record-set.ts";
import type { FakeAnswer, FakeProvider, FakeRequest } from "./fake-provider.ts";

type Item = { rrset_name: string; rrset_type: string; rrset_ttl: number; rrset_values: string[] };

const TOKEN = "0123456789abcdef0123456789abcdef01234567";
const BASE = "https://api.gandi.net/v5/livedns";

export function fakeGandi(zone: string, rows: readonly ValueRow[]): FakeProvider {
  let sets = groupValues(rows).map(({ name, type, ttl, values }): Item => {
    const rrset_name = name.slice(0, -zone.length).replace(/\.$/, "") || "@";
    return { rrset_name, rrset_type: type, rrset_ttl: ttl, rrset_values: [...values] };
  });
  const failed = (code: number, message: string, object: string, cause: string): FakeAnswer => {
    return { status: code, body: { code, message, object, cause } };
  };
  const notFound = failed(404, "The resource could not be found.", "HTTPNotFound", "Not Found");
  const invalid = (description: string): FakeAnswer => ({
    status: 400,
    body: { status: "error", errors: [{ location: "body", name: "rrset_values", description }] },
  });
  const written = (item: Item) => ({
    ...item,
    rrset_href: `${BASE}/domains/${zone}/records/${encodeURIComponent(item.rrset_name)}/${item.rrset_type}`,
  });
  const domain = {
    ...{ fqdn: zone, automatic_snapshots: true, domain_href: `${BASE}/domains/${zone}` },
    domain_records_href: `${BASE}/domains/${zone}/records`,
  };
  const paged = (all: readonly unknown[], { query }: FakeRequest): FakeAnswer => {
    const [page, size] = [Number(query.get("page") ?? 1), Number(query.get("per_page") ?? 100)];
    return { status: 200, body: all.slice((page - 1) * size, page * size) };
  };
  const put = (item: Item, old: Item | undefined): FakeAnswer => {
    if (item.rrset_ttl < 300 || item.rrset_ttl > 2_592_000) return invalid("TTL must be at least 300");
    const isBad = (value: string) =>
      item.rrset_type === "TXT"
        ? !/^("[^"]{0,255}"\s?)+$/.test(value)
        : ["CNAME", "MX", "SRV"].includes(item.rrset_type) && !value.endsWith(".");
    if (item.rrset_values.length === 0 || item.rrset_values.some(isBad)) return invalid("bad value");
    const others = sets.filter((one) => one !== old);
    const isMixed = others.some(
      ({ rrset_name, rrset_type }) =>
        rrset_name === item.rrset_name && (rrset_type === "CNAME" || item.rrset_type === "CNAME"),
    );
    if (isMixed) return invalid("A CNAME record already exists for this name");
    sets = [...others, item];
    return { status: 201, body: { message: "DNS Record Created" } };
  };
  return {
    description: gandi,
    credentials: { token: TOKEN, sharing_id: "" },
    wrongCredentials: { token: TOKEN.replaceAll("0", "1"), sharing_id: "" },
    baseUrl: BASE,
    rows: () =>
      sets.flatMap(({ rrset_name, rrset_type: type, rrset_ttl: ttl, rrset_values }) =>
        rrset_values.map((value) => {
          const name = rrset_name === "@" ? zone : `${rrset_name}.${zone}`;
          return { name, type, ttl, value: canonicalValue(type, value) };
        }),
      ),
    isRead: ({ method }) => method === "GET",
    failures: {
      forbidden: failed(403, "Access to this resource is denied.", "HTTPForbidden", "Forbidden"),
      busy: failed(429, "Too many requests.", "HTTPTooManyRequests", "Too Many Requests"),
      broken: failed(500, "Internal error.", "HTTPInternalServerError", "Internal Server Error"),
    },
    answer: (request) => {
      const { method, path } = request;
      if (request.headers.get("authorization") !== `Bearer ${TOKEN}`) {
        return failed(
          401,
          "The server could not verify that you authorized.",
          "HTTPUnauthorized",
          "Unauthorized",
        );
      }
      if (method === "GET" && path === "/domains") return paged([domain], request);
      if (method === "GET" && path === `/domains/${zone}`) return { status: 200, body: domain };
      if (method === "GET" && path === `/domains/${zone}/records`) return paged(sets.map(written), request);
      const [, owner, label, type] = /^\/domains\/([^/]+)\/records\/([^/]+)\/([A-Z]+)$/.exec(path) ?? [];
      if (owner !== zone || label === undefined || type === undefined) return notFound;
      const rrset_name = decodeURIComponent(label);
      const old = sets.find((one) => one.rrset_name === rrset_name && one.rrset_type === type);
      if (method === "PUT") return put({ ...(request.body as Item), rrset_name, rrset_type: type }, old);
      if (old === undefined) {
        return failed(
          404,
          `Can't find the DNS record ${rrset_name}/${type} in the zone`,
          "dns-record",
          "Not Found",
        );
      }
      if (method === "GET") return { status: 200, body: written(old) };
      sets = sets.filter((one) => one !== old);
      return { status: 204 };
    },
  };
}
