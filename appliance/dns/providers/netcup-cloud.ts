/**
 * netcup's CloudDNS (REST, https://www.netcup.com/en/helpcenter/documentation/netcup-api), where its newer domains are:
 * values as zone files have them, changes in one set that is done whole or not at all. The zone is read from its newest
 * revision.
 * [Assumed, for want of an account: the apex is "@", a revision without serial is a draft, domains come in pages.]
 */
import * as z from "zod";
import { DnsProviderError, type DnsProviderProblem, type ProviderDescription } from "../provider.ts";
import { providerHttp } from "../provider-http.ts";
import { txtStrings, type ValueRow } from "../record-set.ts";
import type { RowChanges, StoredRow } from "../row-changes.ts";
import { allPages, setsOfSingleRecords } from "../single-records.ts";
import { absoluteName, absoluteTarget, relativeName } from "../zone-names.ts";

const NAME = "netcup CloudDNS";
const PAGE_SIZE = 100;
/** Unchecked with a live key. In seconds. */
const MIN_TTL = 300;

const envelopeOf = <Result>(result: z.ZodType<Result>) =>
  z.object({
    success: z.literal(true),
    result,
    meta: z.object({ pagination: z.object({ lastPage: z.number() }).nullish() }).nullish(),
  });
const failureSchema = z.object({
  errors: z.array(z.object({ code: z.string().nullish(), message: z.string() })).min(1),
});
const domainSchema = z.object({ id: z.number(), fqdn: z.string(), isDnsManaged: z.boolean() });
const revisionSchema = z.object({
  identifier: z.string(),
  createdAt: z.string(),
  serial: z.number().nullish(),
});
const recordSchema = z.object({ name: z.string(), type: z.string(), rdata: z.string(), ttl: z.number() });

type CloudRecord = z.infer<typeof recordSchema>;
/** With what netcup listed: a deletion has to name it to the letter. */
type CloudRow = StoredRow & Readonly<{ record: CloudRecord }>;

export const netcupCloud: ProviderDescription = {
  id: "netcup-cloud",
  name: NAME,
  credentials: [
    { key: "token", label: "API key", secret: true, hint: "64 letters and digits; no “legacy” one" },
  ],
  tokenHelp: [
    "https://www.customercontrolpanel.de",
    "Master data (Stammdaten) → API → API keys → create one (not under “Legacy API keys”). It is for the whole account.",
    "This is for domains in CloudDNS, which are all newer ones. Older ones need the provider “netcup”.",
  ],
  nameServers: [],
  minTtl: MIN_TTL,
  // As netcup's older interface; lego waits a quarter of an hour here too.
  publicationMinutes: 20,
  connect: ({ token = "" }, connect = {}) => {
    const http = providerHttp({
      provider: NAME,
      baseUrl: connect.baseUrl ?? "https://api.netcup.com/v1",
      headers: { authorization: `Bearer ${token.trim()}` },
      secrets: [token.trim()],
      reasonOf: (body) => failureSchema.safeParse(body).data?.errors[0]?.message,
      mends: { 401: "the API key is wrong", 403: "the API key may not do this" },
      connect,
    });
    /** A wrong key comes as 400, an unknown domain sometimes as 200: only the code tells. */
    const ask = async <Result>(
      request: Readonly<{
        method: "GET" | "POST";
        path: string;
        query?: Record<string, string | number>;
        body?: object;
      }>,
      form: z.ZodType<Result>,
      what: string,
    ) => {
      const { body } = await http.send({ ...request, what, accept: [400, 404, 422] });
      const failed = failureSchema.safeParse(body);
      if (failed.success) {
        const { code, message } = failed.data.errors[0]!;
        throw http.failure(what, `${message}${mendOf(code)}`, problemOf(code));
      }
      const parsed = envelopeOf(form).safeParse(body);
      if (parsed.success) return parsed.data;
      throw http.failure(what, "its answer has another form than expected", "unreachable");
    };
    const pages = <Entry>(path: string, entry: z.ZodType<Entry>, what: string) =>
      allPages(async (page) => {
        const request = { method: "GET", path, query: { page, perPage: PAGE_SIZE } } as const;
        const { result, meta } = await ask(request, z.array(entry), what);
        return { entries: result, isLast: page >= (meta?.pagination?.lastPage ?? 1) };
      });
    const pathOf = async (zone: string) => {
      const request = { method: "GET", path: "/domain", query: { fqdn: zone } } as const;
      const { result } = await ask(request, z.array(domainSchema), `find the domain ${zone}`);
      const domain = result.find(({ fqdn }) => fqdn.toLowerCase() === zone);
      if (domain?.isDnsManaged) return `/domain/${domain.id}`;
      const reason =
        domain === undefined
          ? "is not in this account"
          : "is not in CloudDNS: take the provider “netcup” for it";
      throw new DnsProviderError(`${NAME} did not find the domain ${zone}: it ${reason}`, "missing");
    };
    const list = async (zone: string): Promise<CloudRow[]> => {
      const what = `show the records of ${zone}`;
      const path = await pathOf(zone);
      const revisions = await pages(`${path}/dns/revision`, revisionSchema, what);
      const newest = revisions
        .filter(({ serial }) => serial != null)
        .sort((a, b) => Date.parse(b.createdAt) - Date.parse(a.createdAt))[0];
      if (newest === undefined) return [];
      const revision = encodeURIComponent(newest.identifier);
      const records = await pages(`${path}/dns/revision/${revision}/record`, recordSchema, what);
      return records.map((record, index) => rowOf(record, zone, index));
    };
    const send = async (zone: string, { removeFirst, update, create, remove }: RowChanges) => {
      const gone = [...removeFirst, ...remove, ...update.map(({ row }) => row)];
      const body = {
        ...{ autoCommit: true, strict: true },
        delete: gone.map((row) => (row as CloudRow).record),
        create: [...update.map(({ to }) => to), ...create].map((row) => recordOf(row, zone)),
      };
      const request = { method: "POST", path: `${await pathOf(zone)}/changeset`, body } as const;
      await ask(request, z.unknown(), `change the records of ${zone}`);
    };
    return {
      zones: async () => {
        const domains = await pages("/domain", domainSchema, "list the domains");
        return domains.filter(({ isDnsManaged }) => isDnsManaged).map(({ fqdn }) => fqdn.toLowerCase());
      },
      ...setsOfSingleRecords({
        list,
        change: async (zone) => (changes) => send(zone, changes),
        ttlOf: (ttl) => Math.max(ttl, MIN_TTL),
      }),
      check: async (zone) => {
        await list(zone);
        return "untold";
      },
    };
  },
};

function rowOf(record: CloudRecord, zone: string, index: number): CloudRow {
  const { name, type, ttl, rdata } = record;
  const value = absoluteTarget(type, rdata, zone);
  return { id: String(index), name: absoluteName(name, zone), type, ttl, value, record };
}

function recordOf({ name, type, ttl, value }: ValueRow, zone: string): CloudRecord {
  const rdata = type === "TXT" ? txtStrings(value).join(" ") : value;
  return { name: relativeName(name, zone) || "@", type, rdata, ttl };
}

function problemOf(code: string | null | undefined): DnsProviderProblem {
  if (code === "authenticationError" || code === "authorizationError") return "credentials";
  return code === "resourceDoesNotExist" ? "missing" : "refused";
}

function mendOf(code: string | null | undefined): string {
  return code === "authenticationError" ? ": is it a key of “API keys”, whole, and not expired?" : "";
}
