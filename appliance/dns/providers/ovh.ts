/**
 * OVH: single records with ids, read one by one; requests are signed with the time of its own clock; and nothing is
 * published until the zone is refreshed.
 */
import { createHash } from "node:crypto";
import * as z from "zod";
import { type DnsProvider, DnsProviderError, type ProviderDescription, type SetName } from "../provider.ts";
import { providerHttp, realClock, type SentRequest } from "../provider-http.ts";
import { groupValues, isSameName, txtStrings, type ValueRow } from "../record-set.ts";
import { applyRowChanges, rowChanges, type StoredRow } from "../row-changes.ts";
import { absoluteName, absoluteTarget, relativeName } from "../zone-names.ts";

const endpoints: Readonly<Record<string, string>> = {
  eu: "https://eu.api.ovh.com/1.0",
  ca: "https://ca.api.ovh.com/1.0",
  us: "https://api.us.ovhcloud.com/1.0",
};
/** In seconds; 0 stands for the zone's own. [Assumed: the least one and what 0 stands for.] */
const TTL = { least: 60, zone: 3600 } as const;
/** Each record is a request of its own; more at once would look like an attack. */
const PARALLEL_READS = 8;
/** Texts with a purpose have types of their own there. [Assumed: as in its web pages.] */
const textTypes = ["SPF", "DKIM", "DMARC"];

const recordForm = z.object({
  ...{ id: z.number(), fieldType: z.string(), subDomain: z.string(), target: z.string(), ttl: z.number() },
});
const credentialForm = z.object({ rules: z.array(z.object({ method: z.string(), path: z.string() })) });
const failureForm = z.object({ message: z.string(), errorCode: z.string().optional() });

export const ovh: ProviderDescription = {
  id: "ovh",
  name: "OVH",
  credentials: [
    { key: "application_key", label: "Application key", secret: true, hint: "16 characters" },
    { key: "application_secret", label: "Application secret", secret: true, hint: "32 characters" },
    { key: "consumer_key", label: "Consumer key", secret: true, hint: "32 characters" },
    {
      ...{ key: "endpoint", label: "Region", secret: false, optional: true },
      hint: "eu, ca or us; eu unless you say otherwise",
    },
  ],
  tokenHelp: [
    "https://eu.api.ovh.com/createToken/?GET=/domain/zone/*&POST=/domain/zone/*&PUT=/domain/zone/*&DELETE=/domain/zone/*",
    "The rights are filled in. For less, put your domain for the star everywhere: /domain/zone/example.org/*",
    "and add GET /domain/zone/ for the list of zones.",
    "Choose how long it shall be valid; all three keys are shown once.",
  ],
  nameServers: ["ovh.net", "ovh.ca", "anycast.me"],
  minTtl: TTL.least,
  connect: (credentials, connect = {}): DnsProvider => {
    const field = (key: string) => (credentials[key] ?? "").trim();
    const [application, secret, consumer] = ["application_key", "application_secret", "consumer_key"].map(
      field,
    );
    const baseUrl = connect.baseUrl ?? endpoints[field("endpoint").toLowerCase() || "eu"];
    if (baseUrl === undefined) throw new DnsProviderError("OVH's region is eu, ca or us", "credentials");
    const { clock = realClock } = connect;
    const options = {
      ...{ provider: "OVH", baseUrl, connect, secrets: [application!, secret!, consumer!] },
      reasonOf: (body: unknown) => failureForm.safeParse(body).data?.message,
      // [Assumed: the codes.] Wrong keys come with status 400 as well.
      problemOf: (_status: number, body: unknown) => {
        const code = failureForm.safeParse(body).data?.errorCode ?? "";
        return /^INVALID_(?:KEY|SIGNATURE|CREDENTIAL)|NOT_(?:GRANTED|CREDENTIAL)/.test(code)
          ? ("credentials" as const)
          : undefined;
      },
      mends: {
        403: "the keys need GET, POST, PUT and DELETE below /domain/zone/ of this domain, and must still be valid",
        404: "is the domain's DNS zone in this account, and in this region?",
      },
    };
    const unsigned = providerHttp(options);
    let behind: Promise<number> | undefined;
    const serverSeconds = async () => {
      const request = { method: "GET", path: "/auth/time", what: "tell its time" } as const;
      behind ??= unsigned.json(request, z.number()).then((seconds) => seconds - clock.now() / 1000);
      return Math.round(clock.now() / 1000 + (await behind));
    };
    const http = providerHttp({
      ...options,
      headers: async ({ method, url, body }: SentRequest) => {
        const time = await serverSeconds().catch((error: unknown) => {
          behind = undefined;
          throw error;
        });
        const text = [secret, consumer, method, url, body, time].join("+");
        return {
          "x-ovh-application": application!,
          "x-ovh-consumer": consumer!,
          "x-ovh-timestamp": String(time),
          "x-ovh-signature": `$1$${createHash("sha1").update(text).digest("hex")}`,
        };
      },
    });

    const path = (zone: string) => `/domain/zone/${zone}/record`;
    const idsOf = (zone: string, query: Record<string, string>) =>
      http.json(
        { method: "GET", path: path(zone), query, what: `show the records of ${zone}` },
        z.array(z.number()),
      );
    const rowOf = async (zone: string, id: number): Promise<StoredRow[]> => {
      const what = `show the records of ${zone}`;
      const request = { method: "GET", path: `${path(zone)}/${id}`, what, accept: [404] } as const;
      const { status, body } = await http.send(request);
      // It went away since the list was made.
      if (status === 404) return [];
      const { data } = recordForm.safeParse(body);
      if (data === undefined)
        throw http.failure(what, "its answer has another form than expected", "unreachable");
      const { fieldType, subDomain, target, ttl } = data;
      const type = textTypes.includes(fieldType) ? "TXT" : fieldType;
      return [
        {
          ...{ id: String(id), name: absoluteName(subDomain, zone), type, ttl: ttl === 0 ? TTL.zone : ttl },
          value: absoluteTarget(type, target, zone),
        },
      ];
    };
    const rowsOf = async (zone: string, wanted?: readonly SetName[]): Promise<StoredRow[]> => {
      const names = [...new Set((wanted ?? []).map(({ name }) => relativeName(name, zone)))];
      // Whole names, not types: a text may stand under several. Nobody says that an empty name means the zone's own.
      const filters =
        wanted === undefined || names.includes("") ? [{}] : names.map((subDomain) => ({ subDomain }));
      const ids = new Set<number>();
      for (const filter of filters) for (const id of await idsOf(zone, filter)) ids.add(id);
      const left = [...ids];
      const rows: StoredRow[] = [];
      while (left.length > 0) {
        const some = left.splice(0, PARALLEL_READS);
        rows.push(...(await Promise.all(some.map((id) => rowOf(zone, id)))).flat());
      }
      return rows;
    };
    const publish = async (zone: string) => {
      const what = `publish the zone ${zone}`;
      await http.send({ method: "POST", path: `/domain/zone/${zone}/refresh`, what, repeatable: true });
    };
    /** What the keys may call; undefined where it is not told, as of keys that are no consumer's. */
    const rulesOfKeys = async () => {
      const what = "tell what the keys may do";
      const request = { method: "GET", path: "/auth/currentCredential", what, accept: [403, 404] } as const;
      const { body } = await http.send(request);
      return credentialForm.safeParse(body).data?.rules;
    };
    return {
      zones: async () =>
        await http.json(
          { method: "GET", path: "/domain/zone/", what: "list the zones" },
          z.array(z.string()),
        ),
      read: async (zone, wanted) =>
        groupValues(await rowsOf(zone, wanted)).filter(
          (set) => wanted?.some((one) => isSameName(one, set)) ?? true,
        ),
      change: async (zone, sets) => {
        const changes = rowChanges(await rowsOf(zone, sets), sets, (ttl) => Math.max(ttl, TTL.least));
        const whatOf = ({ name, type }: ValueRow) => `change ${name} ${type}`;
        await applyRowChanges(changes, {
          create: (row) => {
            const body = { fieldType: row.type, ...fieldsOf(row, zone) };
            return http.send({ method: "POST", path: path(zone), body, what: whatOf(row) });
          },
          update: ({ id }, to) =>
            http.send({
              method: "PUT",
              path: `${path(zone)}/${id}`,
              body: fieldsOf(to, zone),
              what: whatOf(to),
            }),
          remove: (row) =>
            http.send({
              method: "DELETE",
              path: `${path(zone)}/${row.id}`,
              what: whatOf(row),
              accept: [404],
            }),
        });
        // Also when nothing was to be done: an earlier run may have ended just before this.
        await publish(zone);
      },
      publish,
      check: async (zone) => {
        await idsOf(zone, { fieldType: "MX" });
        const rules = await rulesOfKeys();
        if (rules === undefined) return "untold";
        const lacks = callsOf(zone).find(([method, to]) => !rules.some((rule) => covers(rule, method, to)));
        if (lacks === undefined) return "allowed";
        throw new DnsProviderError(
          `the keys may not change the zone ${zone} at OVH: they lack ${lacks.join(" ")}; make new ones with all four rights`,
          "credentials",
        );
      },
    };
  },
};

/** All that a change of a zone calls. */
function callsOf(zone: string): [method: string, path: string][] {
  const path = `/domain/zone/${zone}/record`;
  return [
    ...([
      ["POST", path],
      ["PUT", `${path}/1`],
      ["DELETE", `${path}/1`],
    ] as [string, string][]),
    ["POST", `/domain/zone/${zone}/refresh`],
  ];
}

/** A rule's path may hold stars, each for anything. */
function covers(rule: Readonly<{ method: string; path: string }>, method: string, path: string): boolean {
  if (rule.method.toUpperCase() !== method) return false;
  const parts = rule.path.split("*").map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(path);
}

function fieldsOf({ name, type, ttl, value }: ValueRow, zone: string): object {
  const target = type === "TXT" ? txtStrings(value).join(" ") : value;
  return { subDomain: relativeName(name, zone), target, ttl };
}
