/**
 * Hetzner (Cloud API): whole record sets as zone files have them; every change is an action that runs on by itself and is
 * awaited here. Its earlier "DNS console" with an API of its own is gone.
 */
import * as z from "zod";
import type { DnsProvider, ProviderDescription } from "../provider.ts";
import { type ProviderRequest, providerHttp, realClock } from "../provider-http.ts";
import { groupValues, isSameName, type RecordSet, txtStrings } from "../record-set.ts";
import { setChanges } from "../set-changes.ts";
import { absoluteName, absoluteTarget, relativeName } from "../zone-names.ts";

/** In seconds. [Assumed: the least TTL.] */
const MIN_TTL = 60;
/** [Assumed: the largest page.] */
const PAGE_SIZE = 50;
const MAX_PAGES = 1000;
/** Actions took 8 seconds in what was recorded. In milliseconds. */
const ACTION_LIMIT_MS = 120_000;
const ACTION_PAUSE_MS = 1000;

const pagination = z.object({ pagination: z.object({ next_page: z.number().nullable() }) });
const zoneForm = z.object({ name: z.string(), ttl: z.number(), mode: z.string().optional() });
const setForm = z.object({
  ...{ name: z.string(), type: z.string(), ttl: z.number().nullable() },
  records: z.array(z.object({ value: z.string() })),
});
const actionForm = z.object({
  action: z.object({
    ...{ id: z.number(), status: z.string() },
    error: z.object({ message: z.string() }).nullish(),
  }),
});
const failureForm = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

export const hetzner: ProviderDescription = {
  id: "hetzner",
  name: "Hetzner",
  credentials: [
    { key: "token", label: "API token", secret: true, hint: "64 characters, of the Cloud Console" },
  ],
  tokenHelp: [
    "https://console.hetzner.com/",
    "Choose the project that holds the DNS zone, then Security, then API tokens.",
    'Press "Generate API token" and choose "Read & Write"; it is shown once.',
    "It can do everything in the project, servers too: best is a project with nothing but the zone.",
    "Tokens of the former dns.hetzner.com do not work any more.",
  ],
  nameServers: ["ns.hetzner.com", "ns.hetzner.de"],
  minTtl: MIN_TTL,
  connect: ({ token = "" }, connect = {}): DnsProvider => {
    const { clock = realClock, signal } = connect;
    const http = providerHttp({
      provider: "Hetzner",
      baseUrl: connect.baseUrl ?? "https://api.hetzner.cloud/v1",
      headers: { authorization: `Bearer ${token.trim()}` },
      secrets: [token.trim()],
      reasonOf: (body) => {
        const { data } = failureForm.safeParse(body);
        return data === undefined ? undefined : `${data.error.message} (${data.error.code})`;
      },
      mends: {
        401: "the token is wrong, or one of the former dns.hetzner.com",
        403: 'the token may only read: make one with "Read & Write"',
        404: "is the zone in the project that the token belongs to?",
      },
      // Another change of the zone is going on.
      busyStatuses: [423],
      connect,
    });
    const pages = async <T>(path: string, what: string, form: z.ZodType<T>, list: string): Promise<T[]> => {
      const all: T[] = [];
      const whole = z.intersection(z.object({ meta: pagination }), z.record(z.string(), z.unknown()));
      let page: number | null = 1;
      for (let count = 0; count < MAX_PAGES && page !== null; count++) {
        const request: ProviderRequest = { method: "GET", path, query: { page, per_page: PAGE_SIZE }, what };
        const answer: z.infer<typeof whole> = await http.json(request, whole);
        const parsed = z.array(form).safeParse(answer[list]);
        if (!parsed.success)
          throw http.failure(what, "its answer has another form than expected", "unreachable");
        all.push(...parsed.data);
        page = answer.meta.pagination.next_page;
      }
      if (page !== null) throw http.failure(what, `it goes on after ${MAX_PAGES} pages`);
      return all;
    };
    const zoneNamed = async (zone: string) =>
      (
        await http.json(
          { method: "GET", path: `/zones/${zone}`, what: `show the zone ${zone}` },
          z.object({ zone: zoneForm }),
        )
      ).zone;
    const readAll = async (zone: string): Promise<RecordSet[]> => {
      const { ttl: zoneTtl } = await zoneNamed(zone);
      const sets = await pages(`/zones/${zone}/rrsets`, `show the records of ${zone}`, setForm, "rrsets");
      return groupValues(
        sets.flatMap(({ name, type, ttl, records }) =>
          records.map(({ value }) => ({
            ...{ name: absoluteName(name, zone), type, ttl: ttl ?? zoneTtl },
            value: absoluteTarget(type, value, zone),
          })),
        ),
      );
    };
    const act = async (request: ProviderRequest) => {
      let { action } = await http.json(request, actionForm);
      const end = clock.now() + ACTION_LIMIT_MS;
      while (action.status === "running") {
        if (clock.now() > end) {
          throw http.failure(
            request.what,
            `it is still at it after ${ACTION_LIMIT_MS / 1000} seconds`,
            "unreachable",
          );
        }
        await clock.wait(ACTION_PAUSE_MS, signal);
        const path = `/zones/actions/${action.id}`;
        ({ action } = await http.json({ method: "GET", path, what: request.what }, actionForm));
      }
      if (action.status !== "success")
        throw http.failure(request.what, action.error?.message ?? action.status);
    };
    return {
      zones: async () => (await pages("/zones", "list the zones", zoneForm, "zones")).map(({ name }) => name),
      read: async (zone, wanted) =>
        (await readAll(zone)).filter((set) => wanted?.some((one) => isSameName(one, set)) ?? true),
      change: async (zone, sets) => {
        const current = await readAll(zone);
        const changes = setChanges(current, sets, (ttl) => Math.max(ttl, MIN_TTL));
        const nameOf = (set: RecordSet) => relativeName(set.name, zone) || "@";
        const path = (set: RecordSet) => `/zones/${zone}/rrsets/${nameOf(set)}/${set.type}`;
        const whatOf = (set: RecordSet) => `change ${set.name} ${set.type}`;
        const remove = (set: RecordSet) => act({ method: "DELETE", path: path(set), what: whatOf(set) });
        for (const set of changes.removeFirst) await remove(set);
        for (const { set, old } of changes.write) {
          const records = set.values.map((value) => ({
            value: set.type === "TXT" ? txtStrings(value).join(" ") : value,
          }));
          const { ttl, type } = set;
          const post = (at: string, body: unknown) =>
            act({ method: "POST", path: at, body, what: whatOf(set) });
          if (old === undefined) {
            await post(`/zones/${zone}/rrsets`, { name: nameOf(set), type, ttl, records });
            continue;
          }
          await post(`${path(set)}/actions/set_records`, { records });
          if (old.ttl !== ttl) await post(`${path(set)}/actions/change_ttl`, { ttl });
        }
        for (const set of changes.remove) await remove(set);
      },
      check: async (zone) => {
        const { mode } = await zoneNamed(zone);
        if (mode === "secondary") {
          throw http.failure(`offer the zone ${zone} for changes`, "it copies the zone from another server");
        }
        return "untold";
      },
    };
  },
};
