/**
 * DigitalOcean (API v2): single records with ids; texts are bare, the parts of MX, SRV and CAA stand in fields, and a
 * target that is the zone itself comes back as "@".
 */
import * as z from "zod";
import type { DnsProvider, ProviderDescription } from "../provider.ts";
import { providerHttp } from "../provider-http.ts";
import {
  groupValues,
  isSameName,
  type RecordSet,
  recordData,
  txtText,
  txtValue,
  type ValueRow,
} from "../record-set.ts";
import { applyRowChanges, rowChanges, type StoredRow } from "../row-changes.ts";
import { absoluteName, relativeName } from "../zone-names.ts";

/** In seconds. [Assumed.] */
const MIN_TTL = 30;
const PAGE_SIZE = 200;
const MAX_PAGES = 500;

const number = z.number().nullish();
const recordForm = z.object({
  ...{ id: z.number(), type: z.string(), name: z.string(), data: z.string(), ttl: z.number() },
  ...{ priority: number, port: number, weight: number, flags: number, tag: z.string().nullish() },
});
const links = z.object({ pages: z.object({ next: z.string().optional() }).optional() }).optional();
const domainForm = z.object({ name: z.string() });
const domainList = z.object({ domains: z.array(domainForm), links });
const recordList = z.object({ domain_records: z.array(recordForm), links });
const failureForm = z.object({ id: z.string(), message: z.string() });

export const digitalocean: ProviderDescription = {
  id: "digitalocean",
  name: "DigitalOcean",
  credentials: [{ key: "token", label: "Personal access token", secret: true, hint: "begins with dop_v1_" }],
  tokenHelp: [
    "https://cloud.digitalocean.com/account/api/tokens",
    'Press "Generate New Token" and choose "Custom Scopes".',
    "Tick domain: read, create, update and delete, and nothing else.",
    "Copy the token; it is shown once. It is good for all domains of the account.",
  ],
  nameServers: ["digitalocean.com"],
  minTtl: MIN_TTL,
  approximate: plainAuthority,
  connect: ({ token = "" }, connect = {}): DnsProvider => {
    const http = providerHttp({
      provider: "DigitalOcean",
      baseUrl: connect.baseUrl ?? "https://api.digitalocean.com/v2",
      headers: { authorization: `Bearer ${token.trim()}` },
      secrets: [token.trim()],
      reasonOf: (body) => {
        const { data } = failureForm.safeParse(body);
        return data === undefined ? undefined : `${data.message} (${data.id})`;
      },
      mends: {
        401: "the token is wrong or has ended",
        403: "the token needs the scopes domain:read, domain:create, domain:update and domain:delete",
        404: "is the domain among the account's domains (Networking, Domains)?",
      },
      connect,
    });
    const pages = async <T, E>(
      path: string,
      what: string,
      form: z.ZodType<T & { links?: z.infer<typeof links> }>,
      entriesOf: (answer: T) => E[],
    ): Promise<E[]> => {
      const all: E[] = [];
      for (let page = 1; page <= MAX_PAGES; page++) {
        const query = { per_page: PAGE_SIZE, page };
        const answer = await http.json({ method: "GET", path, query, what }, form);
        all.push(...entriesOf(answer));
        if (answer.links?.pages?.next === undefined) return all;
      }
      throw http.failure(what, `it goes on after ${MAX_PAGES} pages`);
    };
    const recordsPath = (zone: string) => `/domains/${zone}/records`;
    const rowsOf = async (zone: string): Promise<StoredRow[]> => {
      const what = `show the records of ${zone}`;
      const records = await pages(recordsPath(zone), what, recordList, (answer) => answer.domain_records);
      return records.map((record) => rowOf(record, zone));
    };
    return {
      zones: async () =>
        (await pages("/domains", "list the domains", domainList, ({ domains }) => domains)).map(({ name }) =>
          name.toLowerCase(),
        ),
      read: async (zone, wanted) =>
        groupValues(await rowsOf(zone)).filter((set) => wanted?.some((one) => isSameName(one, set)) ?? true),
      change: async (zone, sets) => {
        const wanted = sets.map(plainAuthority);
        const changes = rowChanges(await rowsOf(zone), wanted, (ttl) => Math.max(ttl, MIN_TTL));
        const path = (id = "") => `${recordsPath(zone)}${id === "" ? "" : `/${id}`}`;
        const whatOf = ({ name, type }: ValueRow) => `change ${name} ${type}`;
        await applyRowChanges(changes, {
          create: (row) =>
            http.send({ method: "POST", path: path(), body: fieldsOf(row, zone), what: whatOf(row) }),
          update: ({ id }, to) =>
            http.send({ method: "PUT", path: path(id), body: fieldsOf(to, zone), what: whatOf(to) }),
          remove: (row) =>
            http.send({ method: "DELETE", path: path(row.id), what: whatOf(row), accept: [404] }),
        });
      },
      check: async (zone) => {
        const what = `show the domain ${zone}`;
        await http.json({ method: "GET", path: `/domains/${zone}`, what }, z.object({ domain: domainForm }));
        return "untold";
      },
    };
  },
};

/** It takes no semicolon in a CAA: then the authority without the account, which is the weaker of the two. */
function plainAuthority(set: RecordSet): RecordSet {
  if (set.type !== "CAA") return set;
  return { ...set, values: [...new Set(set.values.map((value) => value.replace(/;[^"]*"$/, '"')))] };
}

function rowOf(record: z.infer<typeof recordForm>, zone: string): StoredRow {
  const { id, type, name, data, ttl, priority, port, weight, flags, tag } = record;
  const target = data === "@" ? zone : data;
  const value = (): string => {
    switch (type) {
      case "TXT":
        return txtValue(data);
      case "MX":
        return `${priority ?? 0} ${target}`;
      case "SRV":
        return `${priority ?? 0} ${weight ?? 0} ${port ?? 0} ${target}`;
      case "CAA":
        return `${flags ?? 0} ${tag ?? "issue"} ${txtValue(data.replace(/\.$/, ""))}`;
      default:
        return target;
    }
  };
  return { id: String(id), name: absoluteName(name, zone), type, ttl, value: value() };
}

/** Targets of hosts and authorities have the final dot. */
function fieldsOf({ name, type, ttl, value }: ValueRow, zone: string): object {
  const base = { name: relativeName(name, zone) || "@", type, ttl };
  if (!["MX", "SRV", "CAA", "TXT"].includes(type)) return { ...base, data: value };
  const record = recordData(type, value);
  switch (record.type) {
    case "MX":
      return { ...base, priority: record.preference, data: `${record.exchange}.` };
    case "SRV": {
      const { priority, weight, port, target } = record;
      return { ...base, priority, weight, port, data: `${target}.` };
    }
    case "CAA":
      return { ...base, flags: record.flags, tag: record.tag, data: `${record.value}.` };
    default:
      return { ...base, data: txtText(value) };
  }
}
