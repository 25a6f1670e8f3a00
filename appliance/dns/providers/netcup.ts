/**
 * Netcup's older interface (CCP): one address for all, a session, errors in answers of status 200; records in one list
 * for a whole zone, which is sent back whole, so it is listed once more directly before; bare TXT; no TTLs but the
 * zone's. Domains that netcup keeps in its newer CloudDNS are not in it.
 */
import { isDeepStrictEqual } from "node:util";
import * as z from "zod";
import { DnsProviderError, type ProviderDescription } from "../provider.ts";
import { providerHttp } from "../provider-http.ts";
import type { RecordSet, ValueRow } from "../record-set.ts";
import type { RowChanges, StoredRow } from "../row-changes.ts";
import { contentOf, keptValue, setsOfSingleRecords } from "../single-records.ts";
import { absoluteName, relativeName } from "../zone-names.ts";

const NAME = "netcup";
const codes = {
  done: 2000,
  sessionOver: 4001,
  invalid: 4013,
  noZoneToChange: 5028,
  noRecords: 5029,
  noZone: 5031,
} as const;

const CLOUD_DNS =
  "netcup keeps it in its newer CloudDNS: take the provider “netcup CloudDNS” with a key of its own";
/** At times it takes every other session of its own for an invalid one (github.com/stecklars/dynamic-dns-netcup-api/issues/21). */
const MAX_SESSIONS = 5;
const hostTypes = ["CNAME", "MX", "NS"];

const answerOf = <Data>(responsedata: z.ZodType<Data>) =>
  z.object({
    statuscode: z.number(),
    shortmessage: z.string().nullish(),
    longmessage: z.string().nullish(),
    /** An empty text where there is nothing to say. */
    responsedata: responsedata.optional(),
  });
const anything = z.unknown();
const sessionSchema = z.object({ apisessionid: z.string().min(1) });
const zoneSchema = z.object({ ttl: z.coerce.number() });
const recordSchema = z.looseObject({
  id: z.string(),
  hostname: z.string(),
  type: z.string(),
  priority: z.string().nullish(),
  destination: z.string(),
});
const recordsSchema = z.object({ dnsrecords: z.array(recordSchema) });

type Answer = z.infer<ReturnType<typeof answerOf>>;
type NetcupRecord = z.infer<typeof recordSchema>;
/** With what netcup listed, to be sent back. */
type NetcupRow = StoredRow & Readonly<{ record: NetcupRecord }>;

export const netcup: ProviderDescription = {
  id: "netcup",
  name: NAME,
  credentials: [
    { key: "customer", label: "Customer number", secret: false, hint: "digits" },
    { key: "token", label: "API key", secret: true, hint: "50 letters and digits; a “legacy” one" },
    { key: "password", label: "API password", secret: true, hint: "as shown once" },
    {
      key: "domain",
      label: "Domain at netcup",
      secret: false,
      hint: "example.org; its interface lists none",
    },
  ],
  tokenHelp: [
    "https://www.customercontrolpanel.de",
    "Master data (Stammdaten) → API → make an API password, and create an API key (legacy). Both are for the whole account.",
    "This is for domains that are not in netcup's CloudDNS, where all newer ones are: for those take the provider “netcup CloudDNS”.",
  ],
  nameServers: ["netcup.net"],
  minTtl: 0,
  // Its zones are written every ten minutes, and have been seen to take twenty (coldfix/certbot-dns-netcup#28).
  publicationMinutes: 20,
  approximate,
  connect: ({ customer = "", token = "", password = "", domain = "" }, connect = {}) => {
    const http = providerHttp({
      provider: NAME,
      baseUrl: connect.baseUrl ?? "https://ccp.netcup.net/run/webservice/servers",
      secrets: [token.trim(), password.trim()],
      reasonOf: (body) => answerOf(anything).safeParse(body).data?.longmessage ?? undefined,
      connect,
    });
    const login = { customernumber: customer.trim(), apikey: token.trim() };
    const ask = (action: string, param: object, what: string, repeatable = true) => {
      const request = { method: "POST", path: "/endpoint.php?JSON", what, repeatable } as const;
      return http.json({ ...request, body: { action, param: { ...login, ...param } } }, answerOf(anything));
    };
    const logIn = async () => {
      const what = "let the account in";
      const answer = await ask("login", { apipassword: password.trim() }, what);
      if (answer.statuscode !== codes.done) {
        const reason = `${wordsOf(answer)}: are customer number, API key and API password right?`;
        throw http.failure(what, reason, "credentials");
      }
      return dataOf(sessionSchema, answer, what).apisessionid;
    };
    const dataOf = <Data>(form: z.ZodType<Data>, { responsedata }: Answer, what: string): Data => {
      const parsed = form.safeParse(responsedata);
      if (parsed.success) return parsed.data;
      throw http.failure(what, "its answer has another form than expected", "unreachable");
    };
    let session: Promise<string> | undefined;
    /** Logged in; a session lasts a quarter of an hour, and one that is over is begun anew. */
    const call = async (action: string, param: object, what: string, repeatable = true): Promise<Answer> => {
      for (let sessions = 1; ; sessions++) {
        session ??= logIn();
        const apisessionid = await session.catch((error: unknown) => {
          session = undefined;
          throw error;
        });
        const answer = await ask(action, { ...param, apisessionid }, what, repeatable);
        if (answer.statuscode !== codes.sessionOver || sessions === MAX_SESSIONS) return answer;
        session = undefined;
      }
    };
    const failure = (zone: string, what: string, answer: Answer) => {
      const { statuscode: code } = answer;
      const isMissing = code === codes.noZone || code === codes.noZoneToChange;
      const isUnsteady = code === codes.sessionOver;
      const mend = isMissing
        ? `: ${zone} is not in this account, or ${CLOUD_DNS}`
        : isUnsteady
          ? ": it forgot each session at once; try again in some minutes"
          : "";
      // [Assumed: those below “validation error” are about who asks.]
      const isAboutUs = code >= 4000 && code < codes.invalid;
      const problem = isUnsteady
        ? "unreachable"
        : isMissing
          ? "missing"
          : isAboutUs
            ? "credentials"
            : "refused";
      return http.failure(what, wordsOf(answer) + mend, problem);
    };
    const records = async (zone: string): Promise<NetcupRecord[]> => {
      const what = `show the records of ${zone}`;
      const answer = await call("infoDnsRecords", { domainname: zone }, what);
      if (answer.statuscode === codes.noRecords) return [];
      if (answer.statuscode !== codes.done) throw failure(zone, what, answer);
      return dataOf(recordsSchema, answer, what).dnsrecords;
    };
    const list = async (zone: string): Promise<NetcupRow[]> => {
      const what = `show the zone ${zone}`;
      const info = await call("infoDnsZone", { domainname: zone }, what);
      if (info.statuscode !== codes.done) throw failure(zone, what, info);
      const { ttl } = dataOf(zoneSchema, info, what);
      return (await records(zone)).map((record) => rowOf(record, zone, ttl));
    };
    /**
     * The whole zone in one request: what changes, what goes, and all else as it was listed. Of records left out the
     * service says that they stay; whoever ever reads it otherwise loses nothing so. What somebody else changed since the
     * list was read would be written back as it was, so it is read again and must be the same: between that and the
     * change there is one request, for the interface has no condition that it would take along.
     */
    const send = async (zone: string, rows: readonly NetcupRow[], changes: RowChanges) => {
      const { removeFirst, update, create, remove } = changes;
      const gone = new Set([...removeFirst, ...remove].map(({ id }) => id));
      const changed = new Map(update.map(({ row, to }) => [row.id, to]));
      const dnsrecords = [
        ...rows.map(({ id, record }) => {
          const to = changed.get(id);
          return { ...record, ...(to === undefined ? {} : fieldsOf(to, zone)), deleterecord: gone.has(id) };
        }),
        ...create.map((row) => fieldsOf(row, zone)),
      ];
      const what = `change the records of ${zone}`;
      const listed = rows.map(({ record }) => record);
      if (!isDeepStrictEqual(contents(await records(zone)), contents(listed))) {
        const words = `${NAME} was not asked to ${what}, for somebody else changed them at the same time; start again`;
        throw new DnsProviderError(words, "refused");
      }
      const param = { domainname: zone, dnsrecordset: { dnsrecords } };
      const answer = await call("updateDnsRecords", param, what, false);
      if (answer.statuscode !== codes.done) throw failure(zone, what, answer);
    };
    const sets = setsOfSingleRecords({
      list,
      change: async (zone, rows) => (changes) => send(zone, rows as NetcupRow[], changes),
      // All have the zone's.
      ttlOf: (ttl, rows) => rows[0]?.ttl ?? ttl,
      approximate,
    });
    return {
      zones: async () => [domain.trim().toLowerCase().replace(/\.$/, "")],
      ...sets,
      check: async (zone) => {
        await list(zone);
        return "untold";
      },
    };
  },
};

/** CAA records have no parameters there ("letsencrypt.org;accounturi=…" is refused). */
function approximate(set: RecordSet): RecordSet {
  if (set.type !== "CAA") return set;
  return { ...set, values: set.values.map((value) => value.replace(/\s*;.*"$/, '"')) };
}

/** What makes records the same, in an order of its own: netcup promises none, and other fields are its own notes. */
function contents(records: readonly NetcupRecord[]) {
  return records
    .map(({ id, hostname, type, priority, destination }) => ({ id, hostname, type, priority, destination }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

function wordsOf({ statuscode, longmessage, shortmessage }: Answer): string {
  return longmessage || shortmessage || `code ${statuscode}`;
}

function rowOf(record: NetcupRecord, zone: string, ttl: number): NetcupRow {
  const { id, type, destination } = record;
  const priority = type === "SRV" ? undefined : Number(record.priority ?? 0);
  const host = hostTypes.includes(type) ? hostOf(destination, zone) : destination;
  // SRV has all four fields in the destination.
  const value = type === "SRV" ? destination : keptValue(type, host, priority);
  return { id, type, name: absoluteName(record.hostname, zone), ttl, value, record };
}

/** "@" is the zone; a name without any dot is below it, others are whole. */
function hostOf(destination: string, zone: string): string {
  return destination.includes(".") ? destination : absoluteName(destination, zone);
}

function fieldsOf(row: ValueRow, zone: string) {
  const { content, priority } = contentOf(row, { finalDot: true, txt: "bare" });
  const destination = row.type === "SRV" ? row.value : content;
  return {
    ...{ hostname: relativeName(row.name, zone) || "@", type: row.type, destination },
    ...{ priority: row.type === "MX" ? String(priority) : "0", deleterecord: false },
  };
}
