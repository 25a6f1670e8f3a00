/**
 * Vultr DNS, https://www.vultr.com/api/#tag/dns: single records, TXT as one string in quotes whatever its length, host
 * names without final dot, and only addresses on the key's list may ask.
 */
import * as z from "zod";
import { DnsProviderError, type ProviderDescription } from "../provider.ts";
import { providerHttp } from "../provider-http.ts";
import { txtText, type ValueRow } from "../record-set.ts";
import type { StoredRow } from "../row-changes.ts";
import { allPages, contentOf, keptValue, patchedRecords, setsOfSingleRecords } from "../single-records.ts";
import { absoluteName } from "../zone-names.ts";

const NAME = "Vultr";
/** The longest page that it gives. */
const PAGE_SIZE = 500;
/** Unchecked with a live key. In seconds. */
const MIN_TTL = 120;

const metaSchema = z.object({ links: z.object({ next: z.string().nullish() }).nullish() }).nullish();
const domainsSchema = z.object({ domains: z.array(z.object({ domain: z.string() })), meta: metaSchema });
const recordSchema = z.object({
  id: z.string(),
  type: z.string(),
  name: z.string(),
  data: z.string(),
  /** -1 where there is none. */
  priority: z.number().nullish(),
  ttl: z.number(),
});
const recordsSchema = z.object({ records: z.array(recordSchema), meta: metaSchema });
const errorSchema = z.object({ error: z.string() });

export const vultr: ProviderDescription = {
  id: "vultr",
  name: NAME,
  credentials: [{ key: "token", label: "API key", secret: true, hint: "36 capital letters and digits" }],
  tokenHelp: [
    "https://my.vultr.com/settings/#settingsapi",
    "Enable the API; the key is for the whole account, so prefer an account or a user for DNS alone: Account → Users, with only “Manage DNS” and “API” ticked.",
    "Under “Access Control” allow the address of this line: without an entry every request is refused.",
  ],
  nameServers: ["vultr.com"],
  minTtl: MIN_TTL,
  connect: ({ token = "" }, connect = {}) => {
    const accessMend =
      "the key is wrong, lacks “Manage DNS”, or its Access Control does not list the address of this line";
    const http = providerHttp({
      provider: NAME,
      baseUrl: connect.baseUrl ?? "https://api.vultr.com/v2",
      headers: { authorization: `Bearer ${token.trim()}` },
      secrets: [token.trim()],
      reasonOf: (body) => errorSchema.safeParse(body).data?.error,
      mends: { 401: accessMend, 403: accessMend, 404: `is the domain in this ${NAME} account?` },
      connect,
    });
    const pages = async <Answer extends { meta?: z.infer<typeof metaSchema> }>(
      path: string,
      form: z.ZodType<Answer>,
      what: string,
    ) => {
      let cursor = "";
      const seen = new Set<string>();
      return await allPages(async () => {
        const query = { per_page: PAGE_SIZE, ...(cursor === "" ? {} : { cursor }) };
        const answer = await http.json({ method: "GET", path, query, what }, form);
        cursor = answer.meta?.links?.next ?? "";
        if (seen.has(cursor)) throw http.failure(what, "its pages go in circles", "unreachable");
        seen.add(cursor);
        return { entries: [answer], isLast: cursor === "" };
      });
    };
    const recordsPath = (zone: string) => `/domains/${encodeURIComponent(zone)}/records`;
    const list = async (zone: string) => {
      const answers = await pages(recordsPath(zone), recordsSchema, `show the records of ${zone}`);
      return answers
        .flatMap(({ records }) => records)
        .map(({ id, type, name, data, priority, ttl }): StoredRow => {
          return { id, type, name: absoluteName(name, zone), ttl, value: keptValue(type, data, priority) };
        });
    };
    return {
      zones: async () => {
        const answers = await pages("/domains", domainsSchema, "list the domains");
        return answers.flatMap(({ domains }) => domains.map(({ domain }) => domain.toLowerCase()));
      },
      ...setsOfSingleRecords({
        list,
        change: async (zone) => patchedRecords(http, zone, recordsPath(zone), fieldsOf),
        ttlOf: (ttl) => Math.max(ttl, MIN_TTL),
      }),
      check: async (zone) => {
        await http.send({ method: "GET", path: recordsPath(zone), what: `show the records of ${zone}` });
        return "untold";
      },
    };
  },
};

function fieldsOf(row: ValueRow) {
  const { content: data, priority = 0 } = contentOf(row, { finalDot: false, txt: oneString });
  return { data, ttl: row.ttl, priority };
}

/** Cut by Vultr itself where it is too long; quotes within are refused there. */
function oneString(value: string): string {
  const text = txtText(value);
  if (text.includes('"')) throw new DnsProviderError(`${NAME} keeps no TXT values with quotes: ${value}`);
  return `"${text}"`;
}
