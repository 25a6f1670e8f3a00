/** Stands in for OVH: signed requests by its own clock, lists of ids, and a zone that is published only by a refresh. */
import { createHash } from "node:crypto";
import { ovh } from "../../../appliance/dns/providers/ovh.ts";
import { canonicalValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import { conflictOf, type FakeAnswer, type FakeProvider, type FakeRequest } from "./fake-provider.ts";

type Stored = { id: number; zone: string; fieldType: string; subDomain: string; target: string; ttl: number };

const keys = {
  application_key: "7kbG7Bk7S9Nt7ZSV",
  application_secret: "EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF",
  consumer_key: "MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1",
};
/** Its clock is ahead of everybody's. In seconds. */
const AHEAD = 7000;
const CLOCK_TOLERANCE = 60;

const everything: readonly { method: string; path: string }[] = ["GET", "POST", "PUT", "DELETE"].map(
  (method) => ({
    method,
    path: "/domain/zone/*",
  }),
);

/** `rules`: what the keys may call; null when they may not even ask that. */
export function fakeOvh(
  zone: string,
  rows: readonly ValueRow[],
  rules: typeof everything | null = everything,
): FakeProvider {
  let lastId = 1_553_659_740;
  const failed = (status: number, errorCode: string, message: string): FakeAnswer => {
    return { status, body: { class: `Client::${errorCode}`, errorCode, message } };
  };
  const toCanonical = ({ fieldType, subDomain, target, ttl }: Stored): ValueRow => {
    const type = fieldType === "SPF" ? "TXT" : fieldType;
    const name = subDomain === "" ? zone : `${subDomain}.${zone}`;
    return { name, type, ttl: ttl === 0 ? 3600 : ttl, value: canonicalValue(type, target) };
  };
  let records = rows.map(({ name, type, ttl, value }): Stored => {
    const subDomain = name.slice(0, -zone.length).replace(/\.$/, "");
    // As its web pages make them: SPF as a type of its own, and the zone's TTL.
    const fieldType = value.startsWith('"v=spf1') ? "SPF" : type;
    return { id: ++lastId, zone, fieldType, subDomain, target: value, ttl: ttl === 3600 ? 0 : ttl };
  });
  let published = records;
  const write = (given: Stored, old: Stored | undefined): FakeAnswer => {
    const { fieldType, target, ttl } = given;
    if (ttl !== 0 && ttl < 60) return failed(400, "BadRequest", "Invalid TTL");
    const isBad =
      fieldType === "TXT"
        ? !/^("[^"]{0,255}"\s?)+$/.test(target)
        : ["CNAME", "MX", "SRV"].includes(fieldType) && !target.endsWith(".");
    if (isBad) return failed(400, "BadRequest", `Invalid target for ${fieldType}`);
    const others = records.filter((one) => one !== old);
    const conflict = conflictOf(others.map(toCanonical), toCanonical(given));
    if (conflict !== undefined) return failed(409, "Conflict", "Record conflicts with another one");
    records = [...others, given];
    return { status: 200, body: old === undefined ? given : null };
  };
  const refusalOf = ({ method, url, text, headers }: FakeRequest): FakeAnswer | undefined => {
    if (headers.get("x-ovh-application") !== keys.application_key) {
      return failed(403, "INVALID_KEY", "This application key is invalid");
    }
    if (headers.get("x-ovh-consumer") !== keys.consumer_key) {
      return failed(403, "INVALID_CREDENTIAL", "This credential is not valid");
    }
    const time = headers.get("x-ovh-timestamp") ?? "";
    const parts = [keys.application_secret, keys.consumer_key, method, url, text, time].join("+");
    const isSigned =
      headers.get("x-ovh-signature") === `$1$${createHash("sha1").update(parts).digest("hex")}`;
    const isNow = Math.abs(Number(time) - (Date.now() / 1000 + AHEAD)) < CLOCK_TOLERANCE;
    return isSigned && isNow ? undefined : failed(400, "INVALID_SIGNATURE", "Invalid signature");
  };
  const atRecord = ({ method, body }: FakeRequest, old: Stored): FakeAnswer => {
    if (method === "GET") return { status: 200, body: old };
    if (method === "PUT") return write({ ...old, ...(body as Partial<Stored>) }, old);
    records = records.filter((one) => one !== old);
    return { status: 200, body: "null" };
  };
  return {
    description: ovh,
    credentials: keys,
    wrongCredentials: { ...keys, application_secret: keys.application_secret.toLowerCase() },
    baseUrl: "https://eu.api.ovh.com/1.0",
    rows: () => published.map(toCanonical),
    // A refresh of what is published already changes nothing.
    isRead: ({ method, path }) => method === "GET" || path.endsWith("/refresh"),
    failures: {
      forbidden: failed(403, "NOT_GRANTED_CALL", "This call has not been granted"),
      busy: failed(429, "TooManyRequests", "Too many requests"),
      broken: failed(500, "InternalServerError", "Internal server error"),
    },
    answer: (request) => {
      const { method, path, query } = request;
      if (path === "/auth/time") return { status: 200, body: Math.round(Date.now() / 1000) + AHEAD };
      const refusal = refusalOf(request);
      if (refusal !== undefined) return refusal;
      if (method === "GET" && path === "/domain/zone/") return { status: 200, body: [zone] };
      if (method === "GET" && path === "/auth/currentCredential") {
        return rules === null
          ? failed(403, "NOT_GRANTED_CALL", "This call has not been granted")
          : { status: 200, body: { credentialId: 1, status: "validated", rules } };
      }
      const [, owner, rest] = /^\/domain\/zone\/([^/]+)(\/.*)$/.exec(path) ?? [];
      if (owner !== zone) return failed(404, "NotFound", "This service does not exist");
      if (method === "POST" && rest === "/refresh") {
        published = records;
        return { status: 200, body: "null" };
      }
      if (method === "GET" && rest === "/record") {
        const [type, label] = [query.get("fieldType"), query.get("subDomain")];
        const found = records.filter(
          ({ fieldType, subDomain }) =>
            (type === null || type === fieldType) && (label === null || label === subDomain),
        );
        return { status: 200, body: found.map(({ id }) => id) };
      }
      if (method === "POST" && rest === "/record") {
        return write({ ...(request.body as Stored), id: ++lastId, zone }, undefined);
      }
      const old = records.find(({ id }) => rest === `/record/${id}`);
      return old === undefined
        ? failed(404, "NotFound", "The requested object does not exist")
        : atRecord(request, old);
    },
  };
}
