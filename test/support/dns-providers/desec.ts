/** Stands in for deSEC's API v1: record sets in bulk, all or none, and pages of 500. */
import { desec } from "../../../appliance/dns/providers/desec.ts";
import { canonicalValue, groupValues, type ValueRow } from "../../../appliance/dns/record-set.ts";
import type { FakeAnswer, FakeProvider, FakeRequest } from "./fake-provider.ts";

type Item = { subname: string; type: string; ttl: number; records: string[] };

const TOKEN = "i-T3b1h_OI-H9ab8tRS98stGtURe";
const PAGE_SIZE = 500;
const MINIMUM_TTL = 3600;
const day = "2025-10-15T23:22:14.754330Z";

export function fakeDesec(zone: string, rows: readonly ValueRow[]): FakeProvider {
  const nameOf = (subname: string) => (subname === "" ? zone : `${subname}.${zone}`);
  const keyOf = ({ subname, type }: Pick<Item, "subname" | "type">) => `${subname} ${type}`;
  const apex: Item = {
    ...{ subname: "", type: "NS", ttl: MINIMUM_TTL },
    records: ["ns1.desec.io.", "ns2.desec.org."],
  };
  let sets = new Map<string, Item>([[keyOf(apex), apex]]);
  for (const { name, type, ttl, values } of groupValues(rows)) {
    const item = { subname: name.slice(0, -zone.length).replace(/\.$/, ""), type, ttl, records: [...values] };
    sets.set(keyOf(item), item);
  }
  const detail = (status: number, text: string): FakeAnswer => ({ status, body: { detail: text } });
  const written = (item: Item) => ({
    ...{ created: day, domain: zone, subname: item.subname, name: `${nameOf(item.subname)}.` },
    ...{ records: item.records, ttl: item.ttl, type: item.type, touched: day },
  });
  const listed = (all: readonly unknown[], { url, query }: FakeRequest): FakeAnswer => {
    const [base] = url.split("?");
    const link = (at: number, rel: string) => ({ link: `<${base}?cursor=${at || ""}>; rel="${rel}"` });
    const cursor = query.get("cursor");
    if (cursor === null && all.length > PAGE_SIZE) {
      return { ...detail(400, "Pagination required."), headers: link(0, "first") };
    }
    const end = Number(cursor) + PAGE_SIZE;
    const body = all.slice(Number(cursor), end);
    return { status: 200, body, ...(end < all.length ? { headers: link(end, "next") } : {}) };
  };
  const problemOf = (item: Item): object => {
    if (item.ttl < MINIMUM_TTL || item.ttl > 86_400) {
      return { ttl: [`Ensure this value is greater than or equal to ${MINIMUM_TTL}.`] };
    }
    const wrong = item.records.filter((record) => {
      if (item.type === "TXT") return !/^"/.test(record);
      if (["CNAME", "MX", "SRV"].includes(item.type) && !record.endsWith(".")) return true;
      canonicalValue(item.type, record);
      return false;
    });
    return wrong.length > 0 ? { records: [`${wrong[0]} is malformed.`] } : {};
  };
  const patch = (items: readonly Item[]): FakeAnswer => {
    const problems = items.map(problemOf);
    if (problems.some((one) => Object.keys(one).length > 0)) return { status: 400, body: problems };
    const next = new Map(sets);
    for (const item of items) {
      if (item.records.length === 0) next.delete(keyOf(item));
      else next.set(keyOf(item), item);
    }
    const isMixed = [...next.values()].some(
      ({ subname, type }) =>
        type === "CNAME" && [...next.values()].some((one) => one.subname === subname && one.type !== "CNAME"),
    );
    if (isMixed) {
      const words = "RRset with conflicting type present: CNAME is exclusive.";
      return { status: 400, body: items.map(() => ({ non_field_errors: [words] })) };
    }
    sets = next;
    return { status: 200, body: items.filter(({ records }) => records.length > 0).map(written) };
  };
  return {
    description: desec,
    credentials: { token: TOKEN },
    wrongCredentials: { token: `${TOKEN}wrong` },
    baseUrl: "https://desec.io/api/v1",
    rows: () =>
      [...sets.values()].flatMap(({ subname, type, ttl, records }) =>
        records.map((value) => ({ name: nameOf(subname), type, ttl, value: canonicalValue(type, value) })),
      ),
    isRead: ({ method }) => method === "GET",
    failures: {
      forbidden: detail(403, "You do not have permission to perform this action."),
      busy: detail(429, "Request was throttled. Expected available in 5 seconds."),
      broken: detail(503, "Please try again later."),
    },
    answer: (request) => {
      const { method, path } = request;
      if (request.headers.get("authorization") !== `Token ${TOKEN}`) return detail(401, "Invalid token.");
      const domain = { created: day, published: day, name: zone, minimum_ttl: MINIMUM_TTL, touched: day };
      if (method === "GET" && path === "/domains/") return listed([domain], request);
      if (method === "GET" && path === `/domains/${zone}/`) {
        return { status: 200, body: { ...domain, keys: [] } };
      }
      if (path === `/domains/${zone}/rrsets/`) {
        if (method === "GET") return listed([...sets.values()].map(written), request);
        if (method === "PATCH") return patch(request.body as Item[]);
      }
      return detail(404, path.startsWith("/domains/") ? "No Domain matches the given query." : "Not found.");
    },
  };
}
