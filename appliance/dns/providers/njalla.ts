/**
 * Njalla, https://njal.la/api/: one address for all, errors in answers of status 200, single records, bare TXT, host
 * names without final dot, a few TTLs only.
 */
import * as z from "zod";
import type { DnsProviderProblem, ProviderDescription } from "../provider.ts";
import { providerHttp } from "../provider-http.ts";
import { recordData, type ValueRow } from "../record-set.ts";
import type { StoredRow } from "../row-changes.ts";
import { changeWords, contentOf, isOnlyTtl, keptValue, setsOfSingleRecords } from "../single-records.ts";
import { absoluteName, relativeName } from "../zone-names.ts";

const NAME = "Njalla";
/** Those that its web form offers (unchecked: whether the API takes others). In seconds. */
const TTLS = [60, 300, 900, 3600, 10_800, 21_600, 86_400] as const;

const failureSchema = z.object({ code: z.number(), message: z.string() });
const answerSchema = z.object({
  result: z.unknown().optional(),
  error: failureSchema.nullish(),
  /** Newer answers write it so. */
  Error: failureSchema.nullish(),
});
/** What came of a change does not matter; some answers leave it out. */
const anything = z.unknown();
/** A number in 2020, text by now. */
const idSchema = z.union([z.number(), z.string()]);
const recordSchema = z.object({
  id: idSchema,
  name: z.string(),
  type: z.string(),
  content: z.string().nullish(),
  ttl: z.number().nullish(),
  prio: z.number().nullish(),
  weight: z.number().nullish(),
  port: z.number().nullish(),
  target: z.string().nullish(),
  current_ips: z.array(z.string()).nullish(),
});
const recordsSchema = z.object({ records: z.array(recordSchema) });
const domainsSchema = z.object({ domains: z.array(z.object({ name: z.string() })) });

type NjallaRecord = z.infer<typeof recordSchema>;
/** With what Njalla listed, to be sent back. */
type NjallaRow = StoredRow & Readonly<{ record: NjallaRecord }>;

export const njalla: ProviderDescription = {
  id: "njalla",
  name: NAME,
  credentials: [{ key: "token", label: "API token", secret: true, hint: "40 letters and digits" }],
  tokenHelp: [
    "https://njal.la/settings/api/",
    "Settings → API Access → Add token. Limit it to this domain, and to the methods list-domains, list-records, add-record, edit-record and remove-record; if you like also to the address of this line.",
  ],
  nameServers: ["njalla.no", "njalla.in", "njalla.fo", "njal.la"],
  minTtl: TTLS[0],
  connect: ({ token = "" }, connect = {}) => {
    const http = providerHttp({
      provider: NAME,
      baseUrl: connect.baseUrl ?? "https://njal.la/api/1",
      headers: { authorization: `Njalla ${token.trim()}` },
      secrets: [token.trim()],
      reasonOf: (body) => answerSchema.safeParse(body).data?.error?.message,
      mends: { 401: "the token is wrong", 403: "the token is wrong, or not allowed from this address" },
      connect,
    });
    const call = async <Result>(
      method: string,
      params: object,
      form: z.ZodType<Result>,
      what: string,
      repeatable = true,
    ): Promise<Result> => {
      const request = { method: "POST", path: "/", body: { method, params }, what, repeatable } as const;
      const answer = await http.json(request, answerSchema);
      const error = answer.error ?? answer.Error;
      if (error) throw http.failure(what, `${error.message}${mendOf(error.code)}`, problemOf(error.code));
      const parsed = form.safeParse(answer.result);
      if (parsed.success) return parsed.data;
      throw http.failure(what, "its answer has another form than expected", "unreachable");
    };
    const list = async (zone: string) => {
      const what = `show the records of ${zone}`;
      const { records } = await call("list-records", { domain: zone }, recordsSchema, what);
      return records.map((record) => rowOf(record, zone));
    };
    return {
      zones: async () => {
        const { domains } = await call("list-domains", {}, domainsSchema, "list the domains");
        return domains.map(({ name }) => name.toLowerCase());
      },
      ...setsOfSingleRecords({
        list,
        change: async (domain) => ({
          create: (row) => {
            const name = relativeName(row.name, domain) || "@";
            const params = { domain, type: row.type, name, ...fieldsOf(row) };
            return call("add-record", params, anything, changeWords("create", row), false);
          },
          update: (row, to) => {
            // Whether the content may be left out is unknown, so it goes along as it was listed.
            const { id, content, prio, weight, port } = (row as NjallaRow).record;
            const listed = { content, prio, weight, port, ttl: to.ttl };
            const params = { domain, id, ...(isOnlyTtl(row, to) ? listed : fieldsOf(to)) };
            return call("edit-record", params, anything, changeWords("change", to));
          },
          remove: (row) => {
            const { id } = (row as NjallaRow).record;
            return call("remove-record", { domain, id }, anything, changeWords("delete", row), false);
          },
        }),
        ttlOf: (ttl) => TTLS.find((one) => one >= ttl) ?? TTLS.at(-1)!,
      }),
      check: async (zone) => {
        await list(zone);
        return "untold";
      },
    };
  },
};

function rowOf(record: NjallaRecord, zone: string): NjallaRow {
  const { type, prio } = record;
  const row = {
    id: String(record.id),
    type,
    name: absoluteName(record.name, zone),
    ttl: record.ttl ?? 0,
    record,
  };
  // The content of its own dynamic addresses is the secret by which they change.
  if (type === "Dynamic") return { ...row, value: (record.current_ips ?? []).join(" ") };
  const content = record.content || record.target || "";
  if (type !== "SRV" || /^\d+ \d+ \S+$/.test(content))
    return { ...row, value: keptValue(type, content, prio) };
  return { ...row, value: `${prio ?? 0} ${record.weight ?? 0} ${record.port ?? 0} ${content}` };
}

function fieldsOf(row: ValueRow) {
  const { ttl } = row;
  if (row.type === "SRV") {
    const data = recordData(row.type, row.value);
    if (data.type === "SRV") {
      return { content: data.target, ttl, prio: data.priority, weight: data.weight, port: data.port };
    }
  }
  const { content, priority } = contentOf(row, { finalDot: false, txt: "bare" });
  return { content, ttl, ...(priority === undefined ? {} : { prio: priority }) };
}

function problemOf(code: number): DnsProviderProblem {
  if (code === 401 || code === 403) return "credentials";
  if (code === 404) return "missing";
  return code === 429 ? "busy" : "refused";
}

function mendOf(code: number): string {
  if (code !== 403) return "";
  return ": is the token right, and may it use this domain, from this address, with the methods list-records, add-record, edit-record and remove-record (Settings → API Access)?";
}
