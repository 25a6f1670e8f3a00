/** Stands in for netcup's CloudDNS: revisions of a zone, changes in sets, a wrong key as status 400. */
import { isDeepStrictEqual } from "node:util";
import { netcupCloud } from "../../../appliance/dns/providers/netcup-cloud.ts";
import { txtStrings, type ValueRow } from "../../../appliance/dns/record-set.ts";
import type { FakeAnswer, FakeProvider } from "./fake-provider.ts";
import { absolute, pageOf, recordStore, relative, type Stored } from "./record-store.ts";

const KEY = "abcdef0123456789".repeat(4);
const ID = 4711;

type Fields = Readonly<{ name: string; type: string; rdata: string; ttl: number }>;
type Changeset = Readonly<{
  autoCommit?: boolean;
  strict?: boolean;
  create?: readonly Fields[];
  delete?: readonly Fields[];
}>;

const failed = (status: number, code: string, message: string): FakeAnswer => ({
  status,
  body: { success: false, errors: [{ code, message }], meta: null, result: null },
});
const done = (result: unknown, pagination?: object): FakeAnswer => ({
  status: 200,
  body: { success: true, errors: [], meta: pagination === undefined ? null : { pagination }, result },
});

export function fakeNetcupCloud(zone: string, rows: readonly ValueRow[]): FakeProvider {
  let store = recordStore(rows);
  let revision = 1;
  const shown = ({ name, type, ttl, value }: Stored): Fields => ({
    ...{ name: relative(name, zone) || "@", type, ttl },
    rdata: type === "TXT" ? txtStrings(value).join(" ") : value,
  });
  const listed = (all: readonly unknown[], query: URLSearchParams): FakeAnswer => {
    const { page, size, pages, entries } = pageOf(all, query, "perPage", 25, 100);
    return done(entries, { page, perPage: size, totalEntries: all.length, lastPage: pages });
  };
  const domains = [
    { id: ID, fqdn: zone, isDnsManaged: true },
    { id: ID + 1, fqdn: "older.example", isDnsManaged: false },
  ];
  const apply = ({ autoCommit, create = [], delete: gone = [] }: Changeset): FakeAnswer => {
    if (autoCommit !== true) return failed(422, "validationError", "nothing is committed");
    let left = [...store.all()];
    for (const fields of gone) {
      const at = left.findIndex((one) => isDeepStrictEqual(shown(one), fields));
      if (at === -1) return failed(422, "resourceDoesNotExist", "The record does not exist.");
      left = left.toSpliced(at, 1);
    }
    const next = recordStore(left);
    for (const { name, type, ttl, rdata } of create) {
      if (ttl <= 0) return failed(422, "validationError", "TTL must be positive.");
      if (type === "TXT" && !rdata.startsWith('"')) {
        return failed(422, "validationError", "TXT rdata must be enclosed in quotation marks");
      }
      const row = next.add({ name: absolute(name, zone), type, ttl, value: rdata });
      if (typeof row === "string") return failed(422, "validationError", `Conflict: ${row}`);
    }
    store = next;
    return done({ identifier: `revision-${++revision}`, state: "committed", serial: revision });
  };
  const base = `/domain/${ID}`;
  return {
    description: netcupCloud,
    credentials: { token: KEY },
    wrongCredentials: { token: KEY.replace("a", "b") },
    baseUrl: "https://api.netcup.com/v1",
    rows: () => [...store.all()],
    isRead: ({ method }) => method === "GET",
    failures: {
      forbidden: failed(400, "authorizationError", "The key is not allowed to do this."),
      busy: failed(429, "tooManyRequests", "Too many requests."),
      broken: failed(500, "internalError", "Internal error."),
    },
    answer: ({ method, path, query, headers, body }) => {
      if (headers.get("authorization") !== `Bearer ${KEY}`) {
        return failed(400, "authenticationError", "Invalid API key.");
      }
      if (method === "GET" && path === "/domain") {
        const fqdn = query.get("fqdn");
        const found = domains.filter((one) => fqdn === null || one.fqdn === fqdn);
        if (found.length === 0) return failed(404, "resourceDoesNotExist", `No domain ${fqdn}.`);
        return listed(found, query);
      }
      if (method === "POST" && path === `${base}/changeset`) return apply(body as Changeset);
      if (method === "GET" && path === `${base}/dns/revision`) {
        const created = (day: number) => new Date(Date.UTC(2026, 0, day)).toISOString();
        const all = [
          { identifier: `revision-${revision}`, createdAt: created(2), state: "committed", serial: revision },
          { identifier: "revision-0", createdAt: created(1), state: "committed", serial: 0 },
          // Of somebody who is at it in the control panel.
          { identifier: "draft", createdAt: created(3), state: "draft", serial: null },
        ];
        return listed(all.reverse(), query);
      }
      if (method === "GET" && path === `${base}/dns/revision/revision-${revision}/record`) {
        const all = store
          .all()
          .map((one) => ({ ...shown(one), identifier: String(one.id), immutable: false }));
        return listed(all, query);
      }
      return failed(404, "resourceDoesNotExist", "Not found.");
    },
  };
}
