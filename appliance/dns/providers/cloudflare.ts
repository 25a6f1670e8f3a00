/**
 * Cloudflare (API v4): single records with ids; all changes of a call go in one batch, which is one transaction. Its
 * proxy must be off: in front of a mail server it breaks SMTP and IMAP.
 */
import * as z from "zod";
import { DnsProviderError, type ProviderDescription } from "../provider.ts";
import { providerHttp } from "../provider-http.ts";
import {
  groupValues,
  isSameName,
  PROXIED,
  recordData,
  tidyValue,
  txtStrings,
  txtValue,
  type ValueRow,
} from "../record-set.ts";
import { type RowChanges, rowChanges, type StoredRow } from "../row-changes.ts";

/** Seconds; 1 stands for "automatic", which is 300. [Assumed: the least TTL and what 1 stands for are as documented.] */
const MIN_TTL = 60;
const MAX_TTL = 86_400;
const AUTOMATIC_TTL = { written: 1, seconds: 300 } as const;
/** More are taken, but not promised. */
const PAGE_SIZE = 100;
/** A zone of 100,000 records; the service keeps fewer for each. */
const MAX_PAGES = 1000;
/** Of the free plan. Deletions and additions count alike. */
const MAX_BATCH = 200;
/** Right and zone in the list of zones that say what the token may do. */
const EDIT_PERMISSION = "#dns_records:edit";

const page = z.object({ total_pages: z.number().optional() }).nullish();
const zoneList = z.object({
  result: z.array(
    z.object({ id: z.string(), name: z.string(), permissions: z.array(z.string()).optional() }),
  ),
  result_info: page,
});
const recordList = z.object({
  result: z.array(
    z.object({
      id: z.string(),
      name: z.string(),
      type: z.string(),
      content: z.string(),
      ttl: z.number(),
      priority: z.number().nullish(),
      data: z.record(z.string(), z.unknown()).nullish(),
      proxied: z.boolean().nullish(),
    }),
  ),
  result_info: page,
});
const failureForm = z.object({
  errors: z.array(
    z.object({ message: z.string(), error_chain: z.array(z.object({ message: z.string() })).optional() }),
  ),
});

export const cloudflare: ProviderDescription = {
  id: "cloudflare",
  name: "Cloudflare",
  credentials: [
    { key: "token", label: "API token", secret: true, hint: "40 characters; not the global key" },
  ],
  tokenHelp: [
    "https://dash.cloudflare.com/profile/api-tokens",
    'Press "Create Token" and take the template "Edit zone DNS".',
    'Permissions: "Zone / DNS / Edit", and add "Zone / Zone / Read".',
    'Zone Resources: "Include / Specific zone" and your domain.',
    "Create it and copy the token; it is shown once.",
  ],
  nameServers: ["ns.cloudflare.com"],
  minTtl: MIN_TTL,
  connect: ({ token = "" }, connect = {}) => {
    const http = providerHttp({
      provider: "Cloudflare",
      baseUrl: connect.baseUrl ?? "https://api.cloudflare.com/client/v4",
      headers: { authorization: `Bearer ${token.trim()}` },
      secrets: [token.trim()],
      reasonOf: (body) => {
        const parsed = failureForm.safeParse(body);
        if (!parsed.success) return undefined;
        const words = parsed.data.errors.flatMap(({ message, error_chain = [] }) => [
          message,
          ...error_chain.map((cause) => cause.message),
        ]);
        return words.length === 0 ? undefined : words.join(": ");
      },
      mends: {
        // An unusable token comes as 400 (code 6003) as well.
        400: "if it speaks of headers or authorization, the token is not whole",
        401: "the token is wrong or has ended",
        403: 'the token needs the permissions "Zone / DNS / Edit" and "Zone / Zone / Read" for this zone',
      },
      connect,
    });

    const pages = async <T>(
      path: string,
      query: Record<string, string>,
      what: string,
      form: z.ZodType<{ result: T[]; result_info?: z.infer<typeof page> }>,
    ): Promise<T[]> => {
      const all: T[] = [];
      for (let number = 1; number <= MAX_PAGES; number++) {
        const answer = await http.json(
          { method: "GET", path, query: { ...query, per_page: PAGE_SIZE, page: number }, what },
          form,
        );
        all.push(...answer.result);
        if (number >= (answer.result_info?.total_pages ?? 1)) return all;
      }
      throw http.failure(what, `it goes on after ${MAX_PAGES} pages`);
    };
    const zoneNamed = async (name: string) => {
      const found = await pages("/zones", { name }, `show the zone ${name}`, zoneList);
      const zone = found.find((one) => one.name === name);
      if (zone !== undefined) return zone;
      throw new DnsProviderError(
        `Cloudflare shows no zone ${name} to this token: add the domain there, or give the token "Zone / Zone / Read" for it`,
        "missing",
      );
    };
    const rowsOf = async (zoneId: string, zone: string) => {
      const what = `show the records of ${zone}`;
      return (await pages(`/zones/${zoneId}/dns_records`, {}, what, recordList)).map(rowOf);
    };

    return {
      zones: async () =>
        (await pages("/zones", {}, "list the zones", zoneList)).map(({ name }) => name.toLowerCase()),
      read: async (zone, wanted) => {
        const rows = await rowsOf((await zoneNamed(zone)).id, zone);
        return groupValues(rows).filter((set) => wanted?.some((one) => isSameName(one, set)) ?? true);
      },
      change: async (zone, sets) => {
        const { id } = await zoneNamed(zone);
        const ttlOf = (ttl: number) => Math.min(Math.max(ttl, MIN_TTL), MAX_TTL);
        const steps = batchSteps(rowChanges(await rowsOf(id, zone), sets, ttlOf));
        for (let start = 0; start < steps.length; start += MAX_BATCH) {
          const batch = Object.groupBy(steps.slice(start, start + MAX_BATCH), ([kind]) => kind);
          const body = Object.fromEntries(
            Object.entries(batch).map(([kind, of = []]) => [kind, of.map(([, item]) => item)]),
          );
          const what = `change the records of ${zone}`;
          await http.send({ method: "POST", path: `/zones/${id}/dns_records/batch`, body, what });
        }
      },
      check: async (zone) => {
        const { permissions } = await zoneNamed(zone);
        if (permissions == null) return "untold";
        if (permissions.includes(EDIT_PERMISSION)) return "allowed";
        throw new DnsProviderError(
          `the token may not change the zone ${zone} at Cloudflare: give it the permission "Zone / DNS / Edit"`,
          "credentials",
        );
      },
    };
  },
};

type CloudflareRecord = z.infer<typeof recordList>["result"][number];

function rowOf({ id, name, type, content, ttl, priority, data, proxied }: CloudflareRecord): StoredRow {
  const fields = (...keys: string[]) => keys.map((key) => String(data?.[key])).join(" ");
  const value = (): string => {
    if (type === "SRV" && data != null) return fields("priority", "weight", "port", "target");
    if (type === "CAA" && data != null) return `${fields("flags", "tag")} ${txtValue(String(data.value))}`;
    return type === "MX" ? `${priority ?? 0} ${content}` : content;
  };
  return {
    ...{
      id,
      name: name.toLowerCase(),
      type,
      ttl: ttl === AUTOMATIC_TTL.written ? AUTOMATIC_TTL.seconds : ttl,
    },
    value: proxied === true ? tidyValue(type, content) + PROXIED : value(),
  };
}

/** In the order in which it does them: deletions, then `puts` that write over a record, then `posts`. */
function batchSteps({ removeFirst, update, create, remove }: RowChanges): [kind: string, item: unknown][] {
  return [
    ...[...removeFirst, ...remove].map(({ id }): [string, unknown] => ["deletes", { id }]),
    ...update.map(({ row, to }): [string, unknown] => ["puts", { id: row.id, ...recordOf(to) }]),
    ...create.map((row): [string, unknown] => ["posts", recordOf(row)]),
  ];
}

function recordOf({ name, type, ttl, value }: ValueRow): object {
  const isProxied = value.endsWith(PROXIED) && ["A", "AAAA", "CNAME"].includes(type);
  const content = isProxied ? value.slice(0, -PROXIED.length) : value;
  return {
    name,
    type,
    ttl: isProxied ? AUTOMATIC_TTL.written : ttl,
    proxied: isProxied,
    ...contentOf(type, content),
  };
}

function contentOf(type: string, value: string): object {
  if (!["A", "AAAA", "MX", "CNAME", "TXT", "SRV", "CAA"].includes(type)) return { content: value };
  const record = recordData(type, value);
  switch (record.type) {
    case "MX":
      return { content: record.exchange || ".", priority: record.preference };
    case "CNAME":
      return { content: record.target };
    case "TXT":
      return { content: txtStrings(value).join(" ") };
    case "SRV": {
      const { priority, weight, port, target } = record;
      return { data: { priority, weight, port, target: target || "." } };
    }
    case "CAA": {
      const { flags, tag } = record;
      return { data: { flags, tag, value: record.value } };
    }
    default:
      return { content: record.address };
  }
}
