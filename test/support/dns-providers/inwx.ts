/** Stands in for INWX's JSON-RPC: a session by cookie, a second factor whose codes work once, no final dots. */
import { inwx } from "../../../appliance/dns/providers/inwx.ts";
import { txtText, txtValue, type ValueRow } from "../../../appliance/dns/record-set.ts";
import { totpCode, totpKey } from "../../../appliance/dns/totp.ts";
import type { FakeAnswer, FakeProvider } from "./fake-provider.ts";
import { apexRows, contentAndPriority, recordStore, type Stored, valueFrom } from "./record-store.ts";

const PASSWORD = "correct horse battery";
const KEY = "JBSWY3DPEHPK3PXP";
/** As many zones as come at once, so that there are pages. */
const ZONES_AT_ONCE = 2;

type Params = Partial<
  Readonly<Record<"user" | "pass" | "tan" | "domain" | "type" | "name" | "content", string>>
> &
  Partial<Readonly<Record<"id" | "ttl" | "prio" | "page" | "pagelimit", number>>>;

const failed = (code: number, msg: string, reason?: string): FakeAnswer => ({
  status: 200,
  body: {
    code,
    msg,
    ...(reason === undefined ? {} : { reasonCode: "REASON", reason }),
    svTRID: "20260101-1",
  },
});
const done = (resData?: object): FakeAnswer => ({
  status: 200,
  body: { code: 1000, msg: "Command completed successfully", ...(resData === undefined ? {} : { resData }) },
});
const conflicts = {
  duplicate: failed(2302, "Object exists"),
  cname: failed(2308, "Data management policy violation", "CNAME beside other records"),
  missing: failed(2303, "Object does not exist"),
} as const;

export type FakeInwx = FakeProvider & Readonly<{ endSessions(): void; logins(): number }>;

/** `now`: with it, the account asks for a second factor. `used`: codes that somebody else has used. */
export function fakeInwx(
  zone: string,
  rows: readonly ValueRow[],
  { now, used = [] }: Readonly<{ now?: () => number; used?: readonly string[] }> = {},
): FakeInwx {
  const store = recordStore([...apexRows(zone, ["ns.inwx.de", "ns2.inwx.de"]), ...rows]);
  const sessions = new Map<string, "locked" | "open">();
  const usedCodes = new Set(used);
  let logins = 0;
  const shown = (record: Stored) => {
    const { id, name, type, ttl, value } = record;
    const { content, priority = 0 } = contentAndPriority(record);
    return { id, name, type, content: type === "TXT" ? txtText(value) : content, ttl, prio: priority };
  };
  const valueOf_ = (type: string, { content = "", prio = 0 }: Params): string | FakeAnswer => {
    if (content.endsWith(".") || /[`"]\s*$/.test(type === "TXT" ? content : ""))
      return failed(2005, "Parameter value syntax error");
    return type === "TXT" ? txtValue(content) : valueFrom(type, content, prio);
  };
  const logIn = ({ user, pass }: Params): FakeAnswer => {
    if (user !== "owner" || pass !== PASSWORD) return failed(2200, "Authentication error");
    const name = `session-${++logins}`;
    sessions.set(name, now === undefined ? "open" : "locked");
    const answer = done({ customerId: 1, accountId: 2, tfa: now === undefined ? "0" : "GOOGLE-AUTH" });
    return { ...answer, headers: { "set-cookie": `domrobot=${name}; path=/; secure; HttpOnly` } };
  };
  const unlock = (session: string, tan: string | undefined): FakeAnswer => {
    const right = totpCode(totpKey(KEY)!, now!());
    if (tan !== right || usedCodes.has(right)) return failed(2200, "Authentication error", "Invalid TAN");
    usedCodes.add(right);
    sessions.set(session, "open");
    return done();
  };
  return {
    description: inwx,
    credentials: {
      username: "owner",
      password: PASSWORD,
      totp: KEY,
    },
    wrongCredentials: { username: "owner", password: "wrong horse battery", totp: KEY },
    baseUrl: "https://api.domrobot.com/jsonrpc",
    rows: () => [...store.all()],
    isRead: ({ body }) => !/Record$/.test((body as { method: string }).method),
    failures: {
      forbidden: failed(2201, "Authorization error"),
      busy: { status: 429, body: "Too many requests" },
      broken: failed(2400, "Command failed"),
    },
    endSessions: () => sessions.clear(),
    logins: () => logins,
    answer: ({ method, path, headers, body }) => {
      if (method !== "POST" || path !== "/") return { status: 404, body: "<html>" };
      const { method: verb, params } = body as { method: string; params: Params };
      if (verb === "account.login") return logIn(params);
      const session = /domrobot=([^;]+)/.exec(headers.get("cookie") ?? "")?.[1] ?? "";
      const state = sessions.get(session);
      if (state === undefined) return failed(2200, "Authentication error");
      if (verb === "account.unlock") return unlock(session, params.tan);
      if (state === "locked") return failed(2200, "Authentication error", "Account is locked");
      if (verb === "nameserver.list") {
        const { page = 1, pagelimit = 20 } = params;
        const size = Math.min(pagelimit, ZONES_AT_ONCE);
        const all = ["a.example", "b.example", zone].map((domain, id) => ({
          roId: id,
          domain,
          type: "MASTER",
        }));
        return done({ count: all.length, domains: all.slice((page - 1) * size, page * size) });
      }
      const { ttl = 3600, type = "", name = "" } = params;
      if (ttl < 300) return failed(2004, "Parameter value range error");
      if (verb === "nameserver.info") {
        if (params.domain !== zone) return failed(2303, "Object does not exist");
        const all = store.all().map(shown);
        return done({
          roId: 1,
          domain: zone,
          type: "MASTER",
          count: all.length,
          ...(all.length > 0 ? { record: all } : {}),
        });
      }
      if (verb === "nameserver.createRecord") {
        const value = valueOf_(type, params);
        if (typeof value === "object") return value;
        const record = store.add({ name, type, ttl, value });
        return typeof record === "object" ? done({ id: record.id }) : conflicts[record];
      }
      const before = store.all().find(({ id }) => id === params.id);
      if (before === undefined) return conflicts.missing;
      if (verb === "nameserver.deleteRecord") return store.remove(before.id) ? done() : conflicts.missing;
      const value = params.content === undefined ? before.value : valueOf_(before.type, params);
      if (typeof value === "object") return value;
      const record = store.change(before.id, { value, ttl: params.ttl ?? before.ttl });
      return typeof record === "object" ? done() : conflicts[record];
    },
  };
}
