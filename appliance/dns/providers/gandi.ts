/**
 * Gandi (LiveDNS, API v5): whole record sets as zone files have them, each written by one request that creates it or takes
 * its place.
 */
import * as z from "zod";
import type { DnsProvider, ProviderDescription } from "../provider.ts";
import { providerHttp } from "../provider-http.ts";
import { groupValues, isSameName, type RecordSet, txtStrings, type ValueRow } from "../record-set.ts";
import { setChanges } from "../set-changes.ts";
import { absoluteName, absoluteTarget, relativeName } from "../zone-names.ts";

/** In seconds. [Assumed: the largest TTL.] */
const TTL = { least: 300, most: 2_592_000 } as const;
/** [Assumed: what is taken for a page.] The end is where nothing new comes, since answers do not say it. */
const PAGE_SIZE = 100;
const MAX_PAGES = 1000;

const domainForm = z.object({ fqdn: z.string() });
const setForm = z.object({
  ...{ rrset_name: z.string(), rrset_type: z.string(), rrset_ttl: z.number() },
  rrset_values: z.array(z.string()),
});
const failureForm = z.object({
  message: z.string().optional(),
  errors: z.array(z.object({ name: z.string().optional(), description: z.string() })).optional(),
});

export const gandi: ProviderDescription = {
  id: "gandi",
  name: "Gandi",
  credentials: [
    { key: "token", label: "Personal access token", secret: true, hint: "40 characters" },
    {
      ...{ key: "sharing_id", label: "Organization", secret: false, optional: true },
      hint: "its id, when the token sees several",
    },
  ],
  tokenHelp: [
    "https://admin.gandi.net/organizations/account/pat",
    'Press "Create a token" and choose how long it shall last.',
    "Restrict it to selected products: your domain.",
    'Permission: "Manage domain name technical configurations"; what it needs besides is ticked by itself.',
    "Copy the token; it is shown once.",
  ],
  nameServers: ["gandi.net"],
  minTtl: TTL.least,
  // As lego waits.
  publicationMinutes: 20,
  connect: ({ token = "", sharing_id = "" }, connect = {}): DnsProvider => {
    const http = providerHttp({
      provider: "Gandi",
      baseUrl: connect.baseUrl ?? "https://api.gandi.net/v5/livedns",
      headers: { authorization: `Bearer ${token.trim()}` },
      secrets: [token.trim()],
      reasonOf: (body) => {
        const { message, errors = [] } = failureForm.safeParse(body).data ?? {};
        const words = errors.map(({ name, description }) =>
          name === undefined ? description : `${name}: ${description}`,
        );
        return words.length > 0 ? words.join("; ") : message;
      },
      mends: {
        401: "the token is wrong or has ended",
        403: 'the token needs the permission "Manage domain name technical configurations" for this domain',
      },
      connect,
    });
    const organization: Record<string, string> =
      sharing_id.trim() === "" ? {} : { sharing_id: sharing_id.trim() };
    const pages = async <T>(path: string, what: string, form: z.ZodType<T>, keyOf: (entry: T) => string) => {
      const all = new Map<string, T>();
      for (let page = 1; page <= MAX_PAGES; page++) {
        const query = { ...organization, page, per_page: PAGE_SIZE };
        const before = all.size;
        // Behind the last page nobody says what comes: nothing, the last one again, or that there is none.
        const accept = page === 1 ? [] : [404];
        const { status, body } = await http.send({ method: "GET", path, query, what, accept });
        if (status === 404) return [...all.values()];
        const { data: entries } = z.array(form).safeParse(body);
        if (entries === undefined) {
          throw http.failure(what, "its answer has another form than expected", "unreachable");
        }
        for (const entry of entries) all.set(keyOf(entry), entry);
        if (all.size === before) return [...all.values()];
      }
      throw http.failure(what, `it goes on after ${MAX_PAGES} pages`);
    };
    const recordsPath = (zone: string) => `/domains/${zone}/records`;
    const readAll = async (zone: string): Promise<RecordSet[]> => {
      const what = `show the records of ${zone}`;
      const keyOf = (set: z.infer<typeof setForm>) => `${set.rrset_name} ${set.rrset_type}`;
      const sets = await pages(recordsPath(zone), what, setForm, keyOf);
      return groupValues(
        sets.flatMap(({ rrset_name, rrset_type: type, rrset_ttl: ttl, rrset_values }) =>
          rrset_values.map((value): ValueRow => {
            return {
              name: absoluteName(rrset_name, zone),
              type,
              ttl,
              value: absoluteTarget(type, value, zone),
            };
          }),
        ),
      );
    };
    return {
      zones: async () =>
        (await pages("/domains", "list the domains", domainForm, ({ fqdn }) => fqdn)).map(({ fqdn }) =>
          fqdn.toLowerCase(),
        ),
      read: async (zone, wanted) =>
        (await readAll(zone)).filter((set) => wanted?.some((one) => isSameName(one, set)) ?? true),
      change: async (zone, sets) => {
        const ttlOf = (ttl: number) => Math.min(Math.max(ttl, TTL.least), TTL.most);
        const changes = setChanges(await readAll(zone), sets, ttlOf);
        const request = (set: RecordSet) => ({
          path: `${recordsPath(zone)}/${encodeURIComponent(relativeName(set.name, zone) || "@")}/${set.type}`,
          query: organization,
          what: `change ${set.name} ${set.type}`,
        });
        // It may be gone already: by a request whose answer got lost.
        const remove = (set: RecordSet) => http.send({ method: "DELETE", ...request(set), accept: [404] });
        for (const set of changes.removeFirst) await remove(set);
        for (const { set } of changes.write) {
          const rrset_values = set.values.map((value) =>
            set.type === "TXT" ? txtStrings(value).join(" ") : value,
          );
          const body = { rrset_values, rrset_ttl: set.ttl };
          await http.send({ method: "PUT", ...request(set), body });
        }
        for (const set of changes.remove) await remove(set);
      },
      check: async (zone) => {
        const path = `/domains/${zone}`;
        await http.json(
          { method: "GET", path, query: organization, what: `show the domain ${zone}` },
          domainForm,
        );
        return "untold";
      },
    };
  },
};
