/** Stands in for Hetzner's Cloud API: record sets, pages, and actions that are done only when they were asked for thrice. */
import { hetzner } from "../../../appliance/dns/providers/hetzner.ts";
import { canonicalValue, groupValues, type ValueRow } from "../../../appliance/dns/record-set.ts";
import type { FakeAnswer, FakeProvider, FakeRequest } from "./fake-provider.ts";

type Item = {
  name: string;
  type: string;
  ttl: number | null;
  records: { value: string; comment?: string }[];
};
type Action = { id: number; command: string; progress: number; finish(): void };

const TOKEN = "hz0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const ZONE_ID = 100_001;
const ZONE_TTL = 86_400;
const ratelimit = { "ratelimit-limit": "3600", "ratelimit-remaining": "3599" };

export function fakeHetzner(zone: string, rows: readonly ValueRow[]): FakeProvider {
  const relative = (name: string) => name.slice(0, -zone.length).replace(/\.$/, "") || "@";
  const absolute = (name: string) => (name === "@" ? zone : `${name}.${zone}`);
  let sets: Item[] = [
    { name: "@", type: "SOA", ttl: null, records: [{ value: "ns. host. 1 2 3 4 5" }] },
    { name: "@", type: "NS", ttl: null, records: [{ value: "helium.ns.hetzner.de." }] },
    ...groupValues(rows).map(({ name, type, ttl, values }) => {
      return { name: relative(name), type, ttl, records: values.map((value) => ({ value })) };
    }),
  ];
  const actions: Action[] = [];
  const failed = (status: number, code: string, message: string): FakeAnswer => ({
    status,
    body: { error: { code, message, details: null } },
  });
  const written = ({ name, type, ttl, records }: Item) => ({
    ...{ id: `${name}/${type}`, name, type, ttl, labels: {}, protection: { change: false } },
    ...{ records: records.map(({ value, comment = "" }) => ({ value, comment })), zone: ZONE_ID },
  });
  const actionAnswer = ({ id, command, progress }: Action, status: number): FakeAnswer => {
    const finished = progress === 100 ? "2026-01-13T14:16:51Z" : null;
    const action = {
      ...{ id, status: progress === 100 ? "success" : "running", command, progress },
      ...{
        started: "2026-01-13T14:16:43Z",
        finished,
        error: null,
        resources: [{ id: ZONE_ID, type: "zone" }],
      },
    };
    return { status, body: { action }, headers: ratelimit };
  };
  const begin = (command: string, finish: () => void): FakeAnswer => {
    if (actions.some(({ progress }) => progress < 100)) return failed(423, "locked", "Zone is locked.");
    const action = { id: 604_989_101_982_297 + actions.length, command, progress: 0, finish };
    actions.push(action);
    // What it shall do it does, whether somebody asks or not; only who writes meanwhile is refused.
    finish();
    return actionAnswer(action, 201);
  };
  const listed = (key: string, all: readonly unknown[], { query }: FakeRequest): FakeAnswer => {
    const page = Number(query.get("page") ?? 1);
    const per_page = Math.min(Number(query.get("per_page") ?? 25), 50);
    const last_page = Math.max(1, Math.ceil(all.length / per_page));
    const [previous_page, next_page] = [page > 1 ? page - 1 : null, page < last_page ? page + 1 : null];
    const pagination = { last_page, next_page, page, per_page, previous_page, total_entries: all.length };
    const body = { meta: { pagination }, [key]: all.slice((page - 1) * per_page, page * per_page) };
    return { status: 200, body, headers: ratelimit };
  };
  const badRecord = ({ type, records }: Pick<Item, "type" | "records">) =>
    records.find(({ value }) =>
      type === "TXT" ? !/^("[^"]{0,255}"\s?)+$/.test(value) : canonicalValue(type, value) === "",
    );
  const write = (item: Item, old: Item | undefined, command: string): FakeAnswer => {
    if (badRecord(item) !== undefined) return failed(422, "invalid_input", "invalid record");
    if (item.ttl !== null && item.ttl < 60) return failed(422, "invalid_input", "ttl must be at least 60");
    const others = sets.filter((one) => one !== old);
    const isMixed = others.some(
      ({ name, type }) => name === item.name && (type === "CNAME" || item.type === "CNAME"),
    );
    if (isMixed) return failed(422, "invalid_input", "CNAME records cannot coexist with other records");
    return begin(command, () => {
      sets = [...others, item];
    });
  };
  const atSet = (request: FakeRequest, item: Item, action: string | undefined): FakeAnswer => {
    const { method } = request;
    const body = request.body as Partial<Item>;
    if (method === "DELETE") {
      return begin("delete_rrset", () => {
        sets = sets.filter((one) => one !== item);
      });
    }
    if (method === "POST" && action === "set_records") {
      return write({ ...item, records: body.records ?? [] }, item, "set_rrset_records");
    }
    if (method === "POST" && action === "change_ttl") {
      return write({ ...item, ttl: body.ttl ?? null }, item, "change_rrset_ttl");
    }
    return failed(404, "not_found", "Not found");
  };
  return {
    description: hetzner,
    credentials: { token: TOKEN },
    wrongCredentials: { token: TOKEN.toLowerCase() },
    baseUrl: "https://api.hetzner.cloud/v1",
    rows: () =>
      sets.flatMap(({ name, type, ttl, records }) =>
        records.map(({ value }) => {
          return { name: absolute(name), type, ttl: ttl ?? ZONE_TTL, value: canonicalValue(type, value) };
        }),
      ),
    isRead: ({ method }) => method === "GET",
    failures: {
      forbidden: failed(403, "token_readonly", "the token is only allowed to perform GET requests"),
      busy: failed(429, "rate_limit_exceeded", "limit of 3600 requests per hour reached"),
      broken: failed(500, "server_error", "something went wrong"),
    },
    answer: (request) => {
      const { method, path } = request;
      if (request.headers.get("authorization") !== `Bearer ${TOKEN}`) {
        return failed(401, "unauthorized", "the token you provided is invalid");
      }
      const zoneAnswer = {
        ...{ id: ZONE_ID, name: zone, mode: "primary", ttl: ZONE_TTL, labels: {}, primary_nameservers: [] },
        ...{ protection: { delete: false }, status: "ok", record_count: sets.length, registrar: "hetzner" },
      };
      if (method === "GET" && path === "/zones") return listed("zones", [zoneAnswer], request);
      const actionId = /^\/zones\/actions\/(\d+)$/.exec(path)?.[1];
      if (method === "GET" && actionId !== undefined) {
        const action = actions.find(({ id }) => String(id) === actionId);
        if (action === undefined) return failed(404, "not_found", "Action not found");
        action.progress = Math.min(100, action.progress + 50);
        return actionAnswer(action, 200);
      }
      // Nobody asks any more for actions whose client went away; they end by themselves.
      if (method === "GET") for (const action of actions) action.progress = 100;
      const [, zonePath, rest] = /^\/zones\/([^/]+)(.*)$/.exec(path) ?? [];
      if (zonePath !== zone && zonePath !== String(ZONE_ID))
        return failed(404, "not_found", "Zone not found");
      if (method === "GET" && rest === "")
        return { status: 200, body: { zone: zoneAnswer }, headers: ratelimit };
      if (method === "GET" && rest === "/rrsets") return listed("rrsets", sets.map(written), request);
      const body = request.body as Item;
      if (method === "POST" && rest === "/rrsets") {
        const isThere = sets.some(({ name, type }) => name === body.name && type === body.type);
        if (isThere) return failed(409, "uniqueness_error", "RRSet already exists");
        return write(body, undefined, "create_rrset");
      }
      const [, name, type, action] =
        /^\/rrsets\/([^/]+)\/([A-Z]+)(?:\/actions\/(\w+))?$/.exec(rest ?? "") ?? [];
      const item = sets.find((one) => one.name === name && one.type === type);
      return item === undefined ? failed(404, "not_found", "RRSet not found") : atSet(request, item, action);
    },
  };
}
