/**
 * Name.com's Core API, https://docs.name.com/docs/api-reference: single records, bare TXT, host names without final
 * dot. It knows no CAA records.
 */
import * as z from "zod";
import type { ProviderDescription } from "../provider.ts";
import { providerHttp } from "../provider-http.ts";
import type { RecordSet, ValueRow } from "../record-set.ts";
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

const NAME = "Name.com";
/** In seconds. */
const MIN_TTL = 300;

/** The last page names no next one, or none at all. */
const nextSchema = { nextPage: z.number().nullish() };
const domainsSchema = z.object({
  domains: z.array(z.object({ domainName: z.string() })).nullish(),
  ...nextSchema,
});
const recordSchema = z.object({
  id: z.number(),
  /** Left out at the domain itself. */
  host: z.string().nullish(),
  type: z.string(),
  answer: z.string(),
  ttl: z.number(),
  priority: z.number().nullish(),
});
/** An empty list is left out. */
const recordsSchema = z.object({ records: z.array(recordSchema).nullish(), ...nextSchema });
const errorSchema = z.object({ message: z.string(), details: z.string().nullish() });

/** With what the provider listed, to be sent back. */
type NamecomRow = StoredRow & Readonly<{ fields: Omit<z.infer<typeof recordSchema>, "id" | "ttl"> }>;

export const namecom: ProviderDescription = {
  id: "namecom",
  name: NAME,
  credentials: [
    { key: "username", label: "User name", secret: false, hint: "of the account" },
    { key: "token", label: "API token", secret: true, hint: "40 letters and digits; the production one" },
  ],
  tokenHelp: [
    "https://www.name.com/account/settings/api",
    "Generate a token for production; it is for the whole account.",
    "With two-step verification, also switch on API access: Account → Settings → Security.",
  ],
  nameServers: ["name.com"],
  minTtl: MIN_TTL,
  // As lego waits.
  publicationMinutes: 15,
  approximate,
  connect: ({ username = "", token = "" }, connect = {}) => {
    const login = Buffer.from(`${username.trim()}:${token.trim()}`).toString("base64");
    const accessMend =
      "the user name or the token is wrong, or the account's two-step verification does not let the API in";
    const http = providerHttp({
      provider: NAME,
      baseUrl: connect.baseUrl ?? "https://api.name.com/core/v1",
      headers: { authorization: `Basic ${login}` },
      secrets: [token.trim(), login],
      reasonOf: (body) => {
        const parsed = errorSchema.safeParse(body);
        if (!parsed.success) return undefined;
        const { message, details } = parsed.data;
        return details ? `${message}: ${details}` : message;
      },
      mends: { 401: accessMend, 403: accessMend, 404: `is the domain in this ${NAME} account?` },
      connect,
    });
    const recordsPath = (zone: string) => `/domains/${encodeURIComponent(zone)}/records`;
    const list = (zone: string) =>
      allPages(async (page) => {
        const what = `show the records of ${zone}`;
        const request = { method: "GET", path: recordsPath(zone), query: { page }, what } as const;
        const { records, nextPage } = await http.json(request, recordsSchema);
        const entries = (records ?? []).map((record) => rowOf(record, zone));
        return { entries, isLast: !nextPage || nextPage <= page };
      });
    return {
      zones: () =>
        allPages(async (page) => {
          const request = {
            method: "GET",
            path: "/domains",
            query: { page },
            what: "list the domains",
          } as const;
          const { domains, nextPage } = await http.json(request, domainsSchema);
          const entries = (domains ?? []).map(({ domainName }) => domainName.toLowerCase());
          return { entries, isLast: !nextPage || nextPage <= page };
        }),
      ...setsOfSingleRecords({
        list,
        change: async (zone) => {
          const path = recordsPath(zone);
          return {
            create: (row) =>
              http.json(
                { method: "POST", path, body: fieldsOf(row, zone), what: changeWords("create", row) },
                recordSchema,
              ),
            update: (row, to) => {
              // A PUT writes the whole record, so with a new TTL the rest goes along as it was listed.
              const body = isOnlyTtl(row, to)
                ? { ...(row as NamecomRow).fields, ttl: to.ttl }
                : fieldsOf(to, zone);
              return http.send({
                method: "PUT",
                path: `${path}/${row.id}`,
                body,
                what: changeWords("change", to),
              });
            },
            remove: (row) => {
              const what = changeWords("delete", row);
              return http.send({ method: "DELETE", path: `${path}/${row.id}`, what, accept: [404] });
            },
          };
        },
        ttlOf: (ttl) => Math.max(ttl, MIN_TTL),
        approximate,
      }),
      check: async (zone) => {
        await http.send({ method: "GET", path: recordsPath(zone), what: `show the records of ${zone}` });
        return "untold";
      },
    };
  },
};

function rowOf({ id, ttl, ...fields }: z.infer<typeof recordSchema>, zone: string): NamecomRow {
  const { host, type, answer, priority } = fields;
  const value = keptValue(type, answer, priority);
  return { id: String(id), fields, type, name: absoluteName(host ?? "", zone), ttl, value };
}

/** There are no CAA records there; a relay can do without. */
function approximate(set: RecordSet): RecordSet {
  return set.type === "CAA" ? { ...set, values: [] } : set;
}

function fieldsOf(row: ValueRow, zone: string) {
  const { type, ttl } = row;
  const { content: answer, priority } = contentOf(row, { finalDot: false, txt: "bare" });
  return { host: relativeName(row.name, zone), type, answer, ttl, priority };
}
