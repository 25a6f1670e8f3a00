/**
 * INWX (DomRobot as JSON-RPC, https://www.inwx.de/en/help/apidoc): a session by cookie, with a one-time password where
 * the account has one; errors in answers of status 200; single records with whole names, bare TXT, host names without
 * final dot.
 */
import * as z from "zod";
import { DnsProviderError, type DnsProviderProblem, type ProviderDescription } from "../provider.ts";
import { providerHttp, realClock } from "../provider-http.ts";
import type { ValueRow } from "../record-set.ts";
import type { StoredRow } from "../row-changes.ts";
import {
  allPages,
  changeWords,
  contentOf,
  isOnlyTtl,
  keptValue,
  setsOfSingleRecords,
} from "../single-records.ts";
import { TOTP_PERIOD, totpCode, totpKey } from "../totp.ts";

const NAME = "INWX";
/** As many zones as it may list at once. */
const PAGE_SIZE = 100;
/** Unchecked with a live account. In seconds. */
const MIN_TTL = 300;
/** All is well; nobody is logged in; a record is there, or gone, already. */
const codes = { done: 1000, notLoggedIn: 2200, exists: 2302, missing: 2303 } as const;

const answerOf = <Result>(resData: z.ZodType<Result>) =>
  z.object({
    code: z.number(),
    msg: z.string().nullish(),
    reason: z.string().nullish(),
    resData: resData.nullish(),
  });
const loginSchema = z.object({ tfa: z.union([z.string(), z.number()]).nullish() });
const zonesSchema = z.object({
  count: z.number(),
  domains: z.array(z.object({ domain: z.string() })).nullish(),
});
const recordSchema = z.object({
  id: z.union([z.number(), z.string()]),
  /** Whole, without final dot. */
  name: z.string(),
  type: z.string(),
  content: z.string(),
  ttl: z.number(),
  prio: z.number().nullish(),
});
const recordsSchema = z.object({ record: z.array(recordSchema).nullish() });
const anything = z.unknown();

export const inwx: ProviderDescription = {
  id: "inwx",
  name: NAME,
  credentials: [
    {
      key: "username",
      label: "User name",
      secret: false,
      hint: "of the account, better of a sub-account for DNS",
    },
    { key: "password", label: "Password", secret: true, hint: "of this account" },
    {
      ...{ key: "totp", label: "Second factor", secret: true, optional: true },
      hint: "the six digits of now, or the key that the app was set up with; empty without one",
    },
  ],
  tokenHelp: [
    "https://www.inwx.de/en/customer/login",
    "Make a sub-account with the role “DNS Management” alone and without a second factor: it cannot buy, move or delete domains.",
    "With your own account and its second factor, the six digits work for one login only.",
  ],
  nameServers: ["inwx.de", "inwx.eu", "inwx.com", "inwx.net"],
  minTtl: MIN_TTL,
  connect: ({ username = "", password = "", totp = "" }, connect = {}) => {
    const { clock = realClock, signal } = connect;
    let cookie = "";
    const http = providerHttp({
      provider: NAME,
      baseUrl: connect.baseUrl ?? "https://api.domrobot.com/jsonrpc",
      headers: (): Record<string, string> => (cookie === "" ? {} : { cookie }),
      secrets: [password, totp],
      reasonOf: (body) => answerOf(anything).safeParse(body).data?.msg ?? undefined,
      connect,
    });
    const ask = async <Result>(
      method: string,
      params: object,
      form: z.ZodType<Result>,
      what: string,
      repeatable: boolean,
    ) => {
      const request = { method: "POST", path: "/", body: { method, params }, what, repeatable } as const;
      const { body, headers } = await http.send(request);
      const set = headers.getSetCookie().map((line) => line.split(";")[0]!.trim());
      if (set.length > 0) cookie = set.join("; ");
      const parsed = answerOf(form).safeParse(body);
      if (!parsed.success)
        throw http.failure(what, "its answer has another form than expected", "unreachable");
      return parsed.data;
    };
    const failure = (what: string, { code, msg, reason }: z.infer<ReturnType<typeof answerOf>>) =>
      http.failure(
        what,
        `${msg ?? `code ${code}`}${reason ? `: ${reason}` : ""}${mendOf(code)}`,
        problemOf(code),
      );

    const unlock = async () => {
      const key = totpKey(totp);
      const digits = totp.replaceAll(/\s/g, "");
      const what = "take the one-time password";
      if (/^\d{6}$/.test(digits)) {
        const answer = await ask("account.unlock", { tan: digits }, anything, what, false);
        if (answer.code !== codes.done) throw failure(what, answer);
        return;
      }
      if (key === undefined) {
        throw new DnsProviderError(
          `${NAME} asks for the second factor of the account: give its six digits or its key, or use a sub-account without one`,
          "credentials",
        );
      }
      const first = await ask("account.unlock", { tan: totpCode(key, clock.now()) }, anything, what, false);
      if (first.code === codes.done) return;
      // A code is taken once only, and another program may have had this one: the next one then.
      const period = TOTP_PERIOD * 1000;
      await clock.wait(period - (clock.now() % period), signal);
      const second = await ask("account.unlock", { tan: totpCode(key, clock.now()) }, anything, what, false);
      if (second.code !== codes.done) throw failure(what, second);
    };
    const logIn = async () => {
      const what = "let the account in";
      const params = { user: username.trim(), pass: password, lang: "en" };
      const answer = await ask("account.login", params, loginSchema, what, false);
      if (answer.code !== codes.done) throw failure(what, answer);
      const { tfa } = answer.resData ?? {};
      if (tfa && String(tfa) !== "0") await unlock();
    };
    let session: Promise<void> | undefined;
    /** Logged in; a session that is over is begun anew once. */
    const call = async <Result>(
      method: string,
      params: object,
      form: z.ZodType<Result>,
      what: string,
      { repeatable = true, accept = [] }: { repeatable?: boolean; accept?: readonly number[] } = {},
    ): Promise<Result> => {
      for (let tries = 1; ; tries++) {
        const isNew = session === undefined;
        session ??= logIn();
        await session.catch((error: unknown) => {
          session = undefined;
          throw error;
        });
        const answer = await ask(method, params, form, what, repeatable);
        if (answer.code === codes.done || accept.includes(answer.code))
          return (answer.resData ?? {}) as Result;
        if (answer.code !== codes.notLoggedIn || isNew || tries > 1) throw failure(what, answer);
        session = undefined;
        cookie = "";
      }
    };
    const list = async (zone: string) => {
      const { record } = await call(
        "nameserver.info",
        { domain: zone },
        recordsSchema,
        `show the records of ${zone}`,
      );
      return (record ?? []).map(({ id, name, type, content, ttl, prio }): StoredRow => {
        const value = keptValue(type, content, prio);
        return { id: String(id), name: name.toLowerCase().replace(/\.$/, ""), type, ttl, value };
      });
    };
    return {
      zones: async () => {
        let listed = 0;
        return await allPages(async (page) => {
          const params = { page, pagelimit: PAGE_SIZE };
          const { count, domains } = await call("nameserver.list", params, zonesSchema, "list the zones");
          const entries = (domains ?? []).map(({ domain }) => domain.toLowerCase());
          listed += entries.length;
          return { entries, isLast: entries.length === 0 || listed >= count };
        });
      },
      ...setsOfSingleRecords({
        list,
        change: async (domain) => ({
          create: (row) => {
            const params = { domain, type: row.type, name: row.name, ...fieldsOf(row) };
            const options = { repeatable: false, accept: [codes.exists] };
            return call("nameserver.createRecord", params, anything, changeWords("create", row), options);
          },
          update: (row, to) => {
            const params = {
              id: Number(row.id),
              ...(isOnlyTtl(row, to) ? { ttl: to.ttl } : fieldsOf(to)),
            };
            return call("nameserver.updateRecord", params, anything, changeWords("change", to));
          },
          remove: (row) => {
            const options = { accept: [codes.missing] };
            const params = { id: Number(row.id) };
            return call("nameserver.deleteRecord", params, anything, changeWords("delete", row), options);
          },
        }),
        ttlOf: (ttl) => Math.max(ttl, MIN_TTL),
      }),
      check: async (zone) => {
        await list(zone);
        return "untold";
      },
    };
  },
};

function fieldsOf(row: ValueRow) {
  const { content, priority } = contentOf(row, { finalDot: false, txt: "bare" });
  return { content, ttl: row.ttl, ...(priority === undefined ? {} : { prio: priority }) };
}

/** Codes as in EPP (RFC 5730 §3), which they are taken from. */
function problemOf(code: number): DnsProviderProblem {
  if (code === codes.notLoggedIn || code === 2201 || code === 2501) return "credentials";
  if (code === codes.missing) return "missing";
  if (code === 2502) return "busy";
  return code >= 2400 && code < 2500 ? "unreachable" : "refused";
}

function mendOf(code: number): string {
  if (code === codes.notLoggedIn || code === 2501)
    return ": are user name, password and second factor right?";
  if (code === 2201) return ": the account needs the role “DNS Management”";
  return code === codes.missing
    ? `: is the domain in this ${NAME} account, with a zone on its name servers?`
    : "";
}
