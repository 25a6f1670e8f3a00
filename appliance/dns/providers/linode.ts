/**
 * Linode's DNS Manager (Akamai), https://techdocs.akamai.com/linode-api/reference/api-summary: single records, bare
 * TXT, host names without final dot, SRV split up into service and protocol, CAA without flags, a few TTLs only.
 */
import * as z from "zod";
import { DnsProviderError, type ProviderDescription } from "../provider.ts";
import { providerHttp } from "../provider-http.ts";
import { recordData, type ValueRow } from "../record-set.ts";
import type { StoredRow } from "../row-changes.ts";
import {
  allPages,
  changeWords,
  contentOf,
  isOnlyTtl,
  keptValue,
  setsOfSingleRecords,
} from "../single-records.ts";
import { absoluteName, relativeName } from "../zone-names.ts";

const NAME = "Linode";
/** The longest page that it gives. */
const PAGE_SIZE = 500;
/** Others it would round; these are all (its reference, “ttl_sec”). In seconds. */
const TTLS = [
  300, 3600, 7200, 14_400, 28_800, 57_600, 86_400, 172_800, 345_600, 604_800, 1_209_600, 2_419_200,
] as const;

const pageOf = <Entry>(entry: z.ZodType<Entry>) =>
  z.object({ data: z.array(entry), page: z.number(), pages: z.number() });
const domainSchema = z.object({ id: z.number(), domain: z.string() });
const recordSchema = z.object({
  id: z.number(),
  type: z.string(),
  name: z.string(),
  target: z.string(),
  priority: z.number().nullish(),
  weight: z.number().nullish(),
  port: z.number().nullish(),
  service: z.string().nullish(),
  protocol: z.string().nullish(),
  tag: z.string().nullish(),
  ttl_sec: z.number(),
});
const errorSchema = z.object({
  errors: z.array(z.object({ field: z.string().nullish(), reason: z.string() })).min(1),
});

type LinodeRecord = z.infer<typeof recordSchema>;

export const linode: ProviderDescription = {
  id: "linode",
  name: NAME,
  credentials: [
    { key: "token", label: "Personal access token", secret: true, hint: "64 letters and digits" },
  ],
  tokenHelp: [
    "https://cloud.linode.com/profile/tokens",
    "Create a Personal Access Token; set every scope to “No Access” and “Domains” to “Read/Write”.",
    "It is for all domains of the account, and shown once. Choose an expiry.",
  ],
  nameServers: ["linode.com"],
  minTtl: TTLS[0],
  connect: ({ token = "" }, connect = {}) => {
    const http = providerHttp({
      provider: NAME,
      baseUrl: connect.baseUrl ?? "https://api.linode.com/v4",
      headers: { authorization: `Bearer ${token.trim()}` },
      secrets: [token.trim()],
      reasonOf: (body) => {
        const parsed = errorSchema.safeParse(body);
        if (!parsed.success) return undefined;
        const { field, reason } = parsed.data.errors[0]!;
        return field ? `${field}: ${reason}` : reason;
      },
      mends: {
        401: "the token is wrong, or its time is over",
        403: "the token needs the scope Domains: Read/Write",
      },
      connect,
    });
    const list = <Entry>(path: string, entry: z.ZodType<Entry>, what: string) =>
      allPages(async (page) => {
        const query = { page, page_size: PAGE_SIZE };
        const { data, pages } = await http.json({ method: "GET", path, query, what }, pageOf(entry));
        return { entries: data, isLast: page >= pages };
      });
    const domains = () => list("/domains", domainSchema, "list the domains");
    const pathOf = async (zone: string) => {
      const all = await domains();
      const found = all.find(({ domain }) => domain.toLowerCase() === zone);
      if (found !== undefined) return `/domains/${found.id}/records`;
      throw new DnsProviderError(
        `${NAME} has no domain ${zone} in this account: create it in its DNS Manager`,
        "missing",
      );
    };
    return {
      zones: async () => (await domains()).map(({ domain }) => domain.toLowerCase()),
      ...setsOfSingleRecords({
        list: async (zone) => {
          const records = await list(await pathOf(zone), recordSchema, `show the records of ${zone}`);
          return records.map((record) => rowOf(record, zone));
        },
        change: async (zone) => {
          const path = await pathOf(zone);
          const put = (id: number | string, body: unknown, what: string) =>
            http.send({ method: "PUT", path: `${path}/${id}`, body, what });
          return {
            create: async (row) => {
              const what = changeWords("create", row);
              const body = fieldsOf(row, zone);
              const { id, ttl_sec } = await http.json({ method: "POST", path, body, what }, recordSchema);
              // Others saw that the TTL of a new record is not kept until it is changed.
              if (ttl_sec !== row.ttl) await put(id, { ttl_sec: row.ttl }, what);
            },
            update: (row, to) => {
              const body = isOnlyTtl(row, to) ? { ttl_sec: to.ttl } : fieldsOf(to, zone);
              return put(row.id, body, changeWords("change", to));
            },
            remove: (row) => {
              const what = changeWords("delete", row);
              return http.send({ method: "DELETE", path: `${path}/${row.id}`, what, accept: [404] });
            },
          };
        },
        ttlOf: (ttl) => TTLS.find((one) => one >= ttl) ?? TTLS.at(-1)!,
      }),
      check: async (zone) => {
        await http.send({ method: "GET", path: await pathOf(zone), what: `show the records of ${zone}` });
        return "untold";
      },
    };
  },
};

function rowOf(record: LinodeRecord, zone: string): StoredRow {
  const { type, ttl_sec: ttl, target, priority } = record;
  const id = String(record.id);
  const name = absoluteName(type === "SRV" ? serviceName(record) : record.name, zone);
  if (type === "CAA") return { id, name, type, ttl, value: `0 ${record.tag ?? ""} "${target}"` };
  const content = type === "SRV" ? `${record.weight ?? 0} ${record.port ?? 0} ${target}` : target;
  return { id, name, type, ttl, value: keptValue(type, content, priority) };
}

/** Its own answers have the signs around service and protocol or not: "_imaps" or "imaps", "_tcp" or "tcp.chat". */
function serviceName({ name, service, protocol }: LinodeRecord): string {
  if (!service || !protocol) return name;
  const bare = (text: string) => text.replace(/^_/, "").replace(/\.$/, "");
  return `_${bare(service)}._${bare(protocol)}`;
}

function fieldsOf(row: ValueRow, zone: string) {
  const { type, ttl: ttl_sec, value } = row;
  const name = relativeName(row.name, zone);
  if (type === "CAA") {
    const data = recordData(type, value);
    if (data.type !== "CAA" || data.flags !== 0) {
      throw new DnsProviderError(`${NAME} keeps no flags of CAA records: ${row.name} ${value}`);
    }
    return { type, name, target: data.value, tag: data.tag, ttl_sec };
  }
  if (type === "SRV") {
    const data = recordData(type, value);
    // The rest of a name below the domain goes along with the protocol; there is no other place for it.
    const [, service, protocol] = /^_([^.]+)\._(.+)$/.exec(name) ?? [];
    if (data.type !== "SRV" || service === undefined || protocol === undefined) {
      throw new DnsProviderError(`${NAME} keeps SRV records as _service._protocol only: ${row.name}`);
    }
    const { priority, weight, port, target } = data;
    return { type, name: "", service, protocol, priority, weight, port, target, ttl_sec };
  }
  const { content: target, priority } = contentOf(row, { finalDot: false, txt: "bare" });
  return { type, name, target, ttl_sec, ...(priority === undefined ? {} : { priority }) };
}
