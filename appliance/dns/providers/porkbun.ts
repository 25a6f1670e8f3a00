/**
 * Porkbun (API v3): single records with ids; everything by POST with the keys in the body. Texts are bare, numbers come as
 * strings, and each domain must be opened for the API first.
 */
import * as z from "zod";
import type { DnsProvider, ProviderDescription } from "../provider.ts";
import { type ProviderRequest, providerHttp } from "../provider-http.ts";
import { groupValues, isSameName, recordData, txtText, txtValue, type ValueRow } from "../record-set.ts";
import { applyRowChanges, rowChanges, type StoredRow } from "../row-changes.ts";
import { relativeName } from "../zone-names.ts";

/** In seconds. */
const MIN_TTL = 600;
/** It calls more than about one request in a second too many. In milliseconds. */
const PACE_MS = 1000;
/** [Assumed: the size of a page of domains.] */
const PAGE_SIZE = 1000;
const MAX_PAGES = 100;

const numeric = z.union([z.string(), z.number()]);
const recordList = z.object({
  status: z.literal("SUCCESS"),
  records: z.array(
    z.object({
      ...{ id: numeric, name: z.string(), type: z.string(), content: z.string() },
      ...{ ttl: numeric, prio: numeric.nullish() },
    }),
  ),
});
const domainList = z.object({
  status: z.literal("SUCCESS"),
  domains: z.array(z.object({ domain: z.string() })),
});
const success = z.object({ status: z.literal("SUCCESS") });
const failureForm = z.object({ message: z.string(), code: z.string().optional() });

export const porkbun: ProviderDescription = {
  id: "porkbun",
  name: "Porkbun",
  credentials: [
    { key: "api_key", label: "API key", secret: true, hint: "begins with pk1_" },
    { key: "secret_key", label: "Secret key", secret: true, hint: "begins with sk1_" },
  ],
  tokenHelp: [
    "https://porkbun.com/account/api",
    'Press "Create API Key" and copy both keys; the secret one is shown once.',
    'Then, in Domain Management at the domain under Details, switch "API Access" on; without it nothing works.',
    "The gear beside a key limits it to this domain, and to addresses that may use it; else it is for all domains that are switched on.",
  ],
  nameServers: ["ns.porkbun.com", "porkbun.com"],
  minTtl: MIN_TTL,
  connect: ({ api_key = "", secret_key = "" }, connect = {}): DnsProvider => {
    const keys = { apikey: api_key.trim(), secretapikey: secret_key.trim() };
    const http = providerHttp({
      provider: "Porkbun",
      baseUrl: connect.baseUrl ?? "https://api.porkbun.com/api/json/v3",
      secrets: Object.values(keys),
      paceMs: PACE_MS,
      reasonOf: (body) => failureForm.safeParse(body).data?.message,
      // [Assumed: the words about keys and API access; either way all of them come with status 400 or 403.]
      problemOf: (_status, body) => {
        // Newer answers have a code besides, as INVALID_API_KEYS_002.
        const { message = "", code = "" } = failureForm.safeParse(body).data ?? {};
        const words = `${message} ${code}`;
        if (/api.?key|api access|opted in/i.test(words)) return "credentials";
        return /invalid domain/i.test(words) ? "missing" : undefined;
      },
      mends: {
        400: 'are both keys whole, and is "API Access" switched on at the domain?',
        403: 'are both keys whole, and is "API Access" switched on at the domain?',
      },
      busyStatuses: [503],
      connect,
    });
    const ask = <T>(form: z.ZodType<T>, path: string, what: string, body: object = {}, repeatable = true) => {
      const request: ProviderRequest = { method: "POST", path, what, body: { ...keys, ...body }, repeatable };
      return http.json(request, form);
    };
    const rowsOf = async (zone: string): Promise<StoredRow[]> => {
      const { records } = await ask(recordList, `/dns/retrieve/${zone}`, `show the records of ${zone}`);
      return records.map(({ id, name, type, content, ttl, prio }) => ({
        ...{ id: String(id), name: name.toLowerCase(), type, ttl: Number(ttl) },
        value: valueFor(type, content, Number(prio ?? 0)),
      }));
    };
    return {
      zones: async () => {
        const all: string[] = [];
        for (let page = 0; page < MAX_PAGES; page++) {
          const body = { start: String(page * PAGE_SIZE) };
          const { domains } = await ask(domainList, "/domain/listAll", "list the domains", body);
          all.push(...domains.map(({ domain }) => domain.toLowerCase()));
          if (domains.length < PAGE_SIZE) return all;
        }
        throw http.failure("list the domains", `it goes on after ${MAX_PAGES} pages`);
      },
      read: async (zone, wanted) =>
        groupValues(await rowsOf(zone)).filter((set) => wanted?.some((one) => isSameName(one, set)) ?? true),
      change: async (zone, sets) => {
        const changes = rowChanges(await rowsOf(zone), sets, (ttl) => Math.max(ttl, MIN_TTL));
        const whatOf = ({ name, type }: ValueRow) => `change ${name} ${type}`;
        await applyRowChanges(changes, {
          create: (row) => ask(success, `/dns/create/${zone}`, whatOf(row), fieldsOf(row, zone), false),
          update: ({ id }, to) => ask(success, `/dns/edit/${zone}/${id}`, whatOf(to), fieldsOf(to, zone)),
          remove: (row) => ask(success, `/dns/delete/${zone}/${row.id}`, whatOf(row), {}, false),
        });
      },
      check: async (zone) => {
        await ask(success, "/ping", "take the keys");
        await ask(recordList, `/dns/retrieve/${zone}`, `show the records of ${zone}`);
        return "untold";
      },
    };
  },
};

function valueFor(type: string, content: string, prio: number): string {
  if (type === "TXT") return txtValue(content);
  return type === "MX" || type === "SRV" ? `${prio} ${content}` : content;
}

/** Host names without the final dot, as it writes them itself; MX and SRV without what stands in `prio`. */
function fieldsOf({ name, type, ttl, value }: ValueRow, zone: string): object {
  const content = (): { content: string; prio?: string } => {
    if (["ALIAS", "NS"].includes(type)) return { content: value.replace(/\.$/, "") };
    if (!["MX", "SRV", "CNAME", "TXT"].includes(type)) return { content: value };
    const data = recordData(type, value);
    switch (data.type) {
      case "MX":
        return { content: data.exchange || ".", prio: String(data.preference) };
      case "SRV":
        return { content: `${data.weight} ${data.port} ${data.target || "."}`, prio: String(data.priority) };
      case "CNAME":
        return { content: data.target };
      default:
        return { content: txtText(value) };
    }
  };
  return { name: relativeName(name, zone), type, ttl: String(ttl), ...content() };
}
