/**
 * deSEC (API v1): whole record sets as zone files have them; any number of them is changed by one request, all or none.
 * Names below dedyn.io are free; desec-account.ts gets one.
 */
import * as z from "zod";
import type { DnsProvider, ProviderDescription } from "../provider.ts";
import { type ProviderHttp, type ProviderRequest, providerHttp } from "../provider-http.ts";
import { groupValues, isSameName, type RecordSet, txtStrings } from "../record-set.ts";
import { setChanges } from "../set-changes.ts";
import { relativeName } from "../zone-names.ts";

export const DESEC_URL = "https://desec.io/api/v1";
/** In seconds. The least one is a property of each domain. */
const MAX_TTL = 86_400;
/** A page has 500 sets or domains. */
const MAX_PAGES = 200;

const domainForm = z.object({ name: z.string(), minimum_ttl: z.number() });
const setForm = z.object({
  ...{ subname: z.string(), name: z.string(), type: z.string(), ttl: z.number() },
  records: z.array(z.string()),
});

export const desec: ProviderDescription = {
  id: "desec",
  name: "deSEC",
  credentials: [{ key: "token", label: "Token", secret: true, hint: "28 characters" }],
  tokenHelp: [
    "https://desec.io/tokens",
    'Press "+", give the token a name, and copy its secret; it is shown once.',
    "Whoever wants less: token policies that deny writing in general and allow it for this one domain.",
  ],
  nameServers: ["desec.io", "desec.org"],
  minTtl: 60,
  connect: ({ token = "" }, connect = {}): DnsProvider => {
    const http = providerHttp({
      provider: "deSEC",
      baseUrl: connect.baseUrl ?? DESEC_URL,
      headers: { authorization: `Token ${token.trim()}` },
      secrets: [token.trim()],
      reasonOf: desecReason,
      mends: {
        401: "the token is wrong, has ended, or was deleted",
        403: "the token's policies or its list of addresses do not allow it",
      },
      connect,
    });
    const rrsets = (zone: string) => `/domains/${zone}/rrsets/`;
    const readAll = async (zone: string): Promise<RecordSet[]> => {
      const what = `show the records of ${zone}`;
      const sets = await pages(http, { method: "GET", path: rrsets(zone), what }, setForm);
      return groupValues(
        sets.flatMap(({ name, type, ttl, records }) => records.map((value) => ({ name, type, ttl, value }))),
      );
    };
    const domain = (zone: string) =>
      http.json({ method: "GET", path: `/domains/${zone}/`, what: `show the domain ${zone}` }, domainForm);
    return {
      zones: async () =>
        (await pages(http, { method: "GET", path: "/domains/", what: "list the domains" }, domainForm)).map(
          ({ name }) => name,
        ),
      read: async (zone, wanted) =>
        (await readAll(zone)).filter((set) => wanted?.some((one) => isSameName(one, set)) ?? true),
      change: async (zone, sets) => {
        const { minimum_ttl } = await domain(zone);
        const ttlOf = (ttl: number) => Math.min(Math.max(ttl, minimum_ttl), MAX_TTL);
        const { removeFirst, write, remove } = setChanges(await readAll(zone), sets, ttlOf);
        const body = [...removeFirst, ...remove, ...write.map(({ set }) => set)].map((set) => ({
          ...{ subname: relativeName(set.name, zone), type: set.type, ttl: set.ttl },
          records: set.values.map((value) => (set.type === "TXT" ? txtStrings(value).join(" ") : value)),
        }));
        if (body.length === 0) return;
        const what = `change the records of ${zone}`;
        await http.send({ method: "PATCH", path: rrsets(zone), body, what, repeatable: true });
      },
      // Which policies a token has only one that manages tokens may ask.
      check: async (zone) => {
        await domain(zone);
        return "untold";
      },
    };
  },
};

/** With an empty cursor lists of any length come by page; without one, those of more than 500 entries are refused. */
async function pages<T>(http: ProviderHttp, request: ProviderRequest, form: z.ZodType<T>): Promise<T[]> {
  const all: T[] = [];
  let next: ProviderRequest = { ...request, query: { cursor: "" } };
  for (let number = 0; number < MAX_PAGES; number++) {
    const { headers, body } = await http.send(next);
    const parsed = z.array(form).safeParse(body);
    if (!parsed.success) {
      throw http.failure(request.what, "its answer has another form than expected", "unreachable");
    }
    all.push(...parsed.data);
    const link = linkTo(headers, "next");
    if (link === undefined) return all;
    next = { ...request, path: link };
  }
  throw http.failure(request.what, `it goes on after ${MAX_PAGES} pages`);
}

/** RFC 8288 §3. */
function linkTo(headers: Headers, relation: string): string | undefined {
  for (const link of (headers.get("link") ?? "").split(/,\s*(?=<)/)) {
    const [, url, parameters] = /^<([^>]*)>(.*)$/.exec(link) ?? [];
    if (parameters?.includes(`rel="${relation}"`)) return url;
  }
  return undefined;
}

/** `{detail}`, `{field: [words]}`, or a list of the latter, one for each set. */
export function desecReason(body: unknown): string | undefined {
  const words: string[] = [];
  const collect = (value: unknown, field: string, depth: number) => {
    if (typeof value === "string") words.push(field === "" ? value : `${field}: ${value}`);
    else if (typeof value === "object" && value !== null && depth < 4) {
      for (const [key, inner] of Object.entries(value)) {
        const isName = !/^\d+$/.test(key) && key !== "detail" && key !== "non_field_errors";
        collect(inner, isName ? key : field, depth + 1);
      }
    }
  };
  if (typeof body === "object") collect(body, "", 0);
  return words.length === 0 ? undefined : words.join("; ");
}
