/**
 * DNSimple, https://developer.dnsimple.com/v2/zones/records/: single records (changes in one batch are for its largest
 * plan only), TXT as quoted strings, SRV targets with final dot. Everything stands below the number of an account.
 */
import * as z from "zod";
import { DnsProviderError, type ProviderDescription } from "../provider.ts";
import { providerHttp } from "../provider-http.ts";
import { txtStrings, type ValueRow } from "../record-set.ts";
import type { StoredRow } from "../row-changes.ts";
import { allPages, contentOf, keptValue, patchedRecords, setsOfSingleRecords } from "../single-records.ts";
import { absoluteName } from "../zone-names.ts";

const NAME = "DNSimple";
/** The longest page that it gives. */
const PAGE_SIZE = 100;
/** Unchecked with a live token. In seconds. */
const MIN_TTL = 60;

const whoamiSchema = z.object({ data: z.object({ account: z.object({ id: z.number() }).nullish() }) });
const accountsSchema = z.object({ data: z.array(z.object({ id: z.number() })) });
const paginationSchema = z.object({ total_pages: z.number() });
const zonesSchema = z.object({ data: z.array(z.object({ name: z.string() })), pagination: paginationSchema });
const recordSchema = z.object({
  id: z.number(),
  name: z.string(),
  type: z.string(),
  content: z.string(),
  ttl: z.number(),
  priority: z.number().nullish(),
});
const recordsSchema = z.object({ data: z.array(recordSchema), pagination: paginationSchema });
const errorSchema = z.object({
  message: z.string(),
  errors: z.record(z.string(), z.array(z.string())).nullish().catch(null),
});

export const dnsimple: ProviderDescription = {
  id: "dnsimple",
  name: NAME,
  credentials: [
    { key: "token", label: "Account access token", secret: true, hint: "begins with dnsimple_a_" },
  ],
  tokenHelp: [
    "https://dnsimple.com/user",
    "Choose the account, then Account → Access tokens → Add: an account token, not a user token.",
    "Where the plan has scoped tokens, give it the one zone with permission to manage its records.",
  ],
  nameServers: [
    "dnsimple.com",
    "dnsimple-edge.org",
    "dnsimple-edge.net",
    "dnsimple-edge.io",
    "dnsimple-edge.com",
  ],
  minTtl: MIN_TTL,
  connect: ({ token = "" }, connect = {}) => {
    const http = providerHttp({
      provider: NAME,
      baseUrl: connect.baseUrl ?? "https://api.dnsimple.com/v2",
      headers: { authorization: `Bearer ${token.trim()}` },
      secrets: [token.trim()],
      reasonOf: (body) => {
        const parsed = errorSchema.safeParse(body);
        if (!parsed.success) return undefined;
        const fields = Object.entries(parsed.data.errors ?? {}).map(
          ([field, why]) => `${field} ${why.join(", ")}`,
        );
        return [parsed.data.message, ...fields].join(": ");
      },
      mends: {
        401: "the token is wrong or was deleted",
        402: "the account's subscription does not allow it",
        403: "the token may not do this: it needs to manage the records of the zone",
      },
      connect,
    });
    const get = <Answer>(path: string, form: z.ZodType<Answer>, what: string, page?: number) => {
      const query: Record<string, number> = page === undefined ? {} : { page, per_page: PAGE_SIZE };
      return http.json({ method: "GET", path, query, what }, form);
    };
    /** An account's token knows its account; that of a user may have several. */
    const accounts = async (): Promise<number[]> => {
      const what = "say whose token this is";
      const { account } = (await get("/whoami", whoamiSchema, what)).data;
      if (account) return [account.id];
      return (await get("/accounts", accountsSchema, what)).data.map(({ id }) => id);
    };
    const zonesOf = (account: number) =>
      allPages(async (page) => {
        const { data, pagination } = await get(`/${account}/zones`, zonesSchema, "list the zones", page);
        return {
          entries: data.map(({ name }) => name.toLowerCase()),
          isLast: page >= pagination.total_pages,
        };
      });
    const pathOf = async (zone: string) => {
      for (const account of await accounts()) {
        if ((await zonesOf(account)).includes(zone))
          return `/${account}/zones/${encodeURIComponent(zone)}/records`;
      }
      throw new DnsProviderError(`${NAME} shows no zone ${zone} to this token`, "missing");
    };
    const list = async (zone: string) => {
      const path = await pathOf(zone);
      const records = await allPages(async (page) => {
        const what = `show the records of ${zone}`;
        const { data, pagination } = await get(path, recordsSchema, what, page);
        return { entries: data, isLast: page >= pagination.total_pages };
      });
      return records.map(({ id, name, type, content, ttl, priority }): StoredRow => {
        const value = keptValue(type, content, priority);
        return { id: String(id), type, name: absoluteName(name, zone), ttl, value };
      });
    };
    return {
      zones: async () => {
        const zones: string[] = [];
        for (const account of await accounts()) zones.push(...(await zonesOf(account)));
        return zones;
      },
      ...setsOfSingleRecords({
        list,
        change: async (zone) => patchedRecords(http, zone, await pathOf(zone), fieldsOf),
        ttlOf: (ttl) => Math.max(ttl, MIN_TTL),
      }),
      check: async (zone) => {
        await get(await pathOf(zone), recordsSchema, `show the records of ${zone}`, 1);
        return "untold";
      },
    };
  },
};

function fieldsOf(row: ValueRow) {
  const quoted = (value: string) => txtStrings(value).join(" ");
  const { content, priority } = contentOf(row, { finalDot: row.type === "SRV", txt: quoted });
  return { content, ttl: row.ttl, ...(priority === undefined ? {} : { priority }) };
}
