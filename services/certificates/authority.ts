/**
 * The certificate authority as a client of it sees it (ACME, RFC 8555): acme-client with bounds of our own, errors
 * that keep the authority's problem document (RFC 7807), and its renewal information (RFC 9773). Called by look.ts.
 */
import { axios, Client } from "acme-client";
import { HOMING_VERSION } from "../../appliance/layout.ts";

/** One request. A line that is slower than this loses it, and the next look tries again. In milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Directories, orders and chains have some kilobytes. */
const MAX_ANSWER_BYTES = 1_000_000;
/**
 * In one look, whatever the authority answers. A certificate takes some 30; with an authority that is slow at everything,
 * one for five names takes 250, which are mostly questions whether it is done.
 */
export const MAX_REQUESTS = 500;
/** RFC 9773 §4.3: between asking for renewal information and asking again. In milliseconds. */
const ASK_AGAIN = { least: 60_000, usual: 6 * 3_600_000, most: 86_400_000 } as const;
const ERROR_PREFIX = "urn:ietf:params:acme:error:";

/** The authority said no (RFC 8555 §6.7). The message is what it wrote, and so a stranger's. */
export class AcmeProblem extends Error {
  override name = "AcmeProblem";
  /** "rateLimited", "caa" …; "" when the answer is not of ACME. */
  readonly type: string;
  /** HTTP status; 0 for a problem that stands inside another document. */
  readonly status: number;
  /** How long to wait at least, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** Those that it is about, as far as it says (RFC 8555 §6.7.1). */
  readonly names: readonly string[];
  constructor(problem: ProblemFields, options?: ErrorOptions) {
    super(problem.detail, options);
    this.type = problem.type;
    this.status = problem.status ?? 0;
    this.retryAfterMs = problem.retryAfterMs;
    this.names = problem.names ?? [];
  }
}

/** The authority wanted more than MAX_REQUESTS. */
export class RequestLimitError extends Error {
  override name = "RequestLimitError";
}

type ProblemFields = Readonly<{
  type: string;
  detail: string;
  status?: number;
  retryAfterMs?: number | undefined;
  names?: readonly string[];
}>;

export type Directory = Readonly<{
  /** The authority's clock, undefined when it does not say. */
  date: Date | undefined;
  renewalInfo: string | undefined;
  /** Kinds of certificates by name; undefined when it knows no profiles. */
  profiles: readonly string[] | undefined;
}>;

export type RenewalWindow = Readonly<{ start: number; end: number; askAgainMs: number }>;

type Answer = Readonly<{ status: number; data: unknown; headers: Readonly<Record<string, unknown>> }>;

/*
 * What acme-client would do by itself is undone: repeat a request up to five times, waiting as long as the authority
 * says, and give up with an error that has lost its reason.
 */
let requestsLeft = MAX_REQUESTS;
axios.interceptors.request.clear();
axios.interceptors.request.use((request) => {
  if (requestsLeft <= 0) throw new RequestLimitError(`more than ${MAX_REQUESTS} requests in one look`);
  requestsLeft--;
  return request;
});
axios.interceptors.response.clear();
axios.interceptors.response.use((answer) => {
  const problem = problemOf(answer as Answer, Date.now());
  // RFC 8555 §6.5: acme-client repeats the request with the new nonce.
  if (problem !== undefined && problem.type !== "badNonce") throw problem;
  return answer;
});
Object.assign(axios.defaults, {
  timeout: REQUEST_TIMEOUT_MS,
  maxContentLength: MAX_ANSWER_BYTES,
  maxRedirects: 0,
  validateStatus: null,
  proxy: false,
});
// RFC 8555 §6.1.
axios.defaults.headers.common["User-Agent"] = `Homing/${HOMING_VERSION}`;

/** acme-client asks for an account without end where an authority knows the key and does not name the account. */
class BoundedClient extends Client {
  override async createAccount(data: Parameters<Client["createAccount"]>[0]) {
    const account = await super.createAccount(data);
    this.#requireAccount();
    return account;
  }

  override async updateAccount(data: Parameters<Client["updateAccount"]>[0]) {
    this.#requireAccount();
    return await super.updateAccount(data);
  }

  /** RFC 8555 §7.3, §7.3.1: both answers to newAccount name it. */
  #requireAccount(): void {
    try {
      this.getAccountUrl();
    } catch (cause) {
      throw new AcmeProblem({ type: "", detail: "it does not say which account it is" }, { cause });
    }
  }
}

/** A client for the account, which is made at the authority when `accountUrl` is not known. Keys are PEM. */
export function authorityClient(
  directoryUrl: string,
  accountKey: string,
  accountUrl: string | undefined,
): Client {
  return new BoundedClient({ directoryUrl, accountKey, ...(accountUrl !== undefined && { accountUrl }) });
}

/** The first of a look's requests, from which MAX_REQUESTS counts. Throws AcmeProblem, or the errors of the network. */
export async function readDirectory(url: string): Promise<Directory> {
  requestsLeft = MAX_REQUESTS;
  const { data, headers } = (await axios.get(url)) as Answer;
  const directory = objectOf(data);
  if (typeof directory.newOrder !== "string") {
    throw new AcmeProblem({ type: "", detail: "there is no ACME directory at this address" });
  }
  const date = new Date(String(headers.date));
  const { profiles } = objectOf(directory.meta);
  return {
    date: Number.isNaN(date.getTime()) ? undefined : date,
    renewalInfo: typeof directory.renewalInfo === "string" ? directory.renewalInfo : undefined,
    profiles: profiles === undefined ? undefined : Object.keys(objectOf(profiles)),
  };
}

/** When the authority wants the certificate to be renewed (RFC 9773 §4.2). Throws AcmeProblem for an answer without sense. */
export async function readRenewalWindow(
  renewalInfo: string,
  id: string,
  now: number,
): Promise<RenewalWindow> {
  const { data, headers } = (await axios.get(`${renewalInfo.replace(/\/$/, "")}/${id}`)) as Answer;
  const window = objectOf(objectOf(data).suggestedWindow);
  const [start, end] = [Date.parse(String(window.start)), Date.parse(String(window.end))];
  if (!(start < end)) throw new AcmeProblem({ type: "", detail: "its renewal information names no time" });
  const wanted = retryAfter(headers, now) ?? ASK_AGAIN.usual;
  return { start, end, askAgainMs: Math.min(ASK_AGAIN.most, Math.max(ASK_AGAIN.least, wanted)) };
}

/** A problem document that stands inside an order, an authorization or a challenge. */
export function problemIn(value: unknown): AcmeProblem {
  return new AcmeProblem({ detail: "it says no more", ...fieldsOf(value) });
}

function problemOf({ status, data, headers }: Answer, now: number): AcmeProblem | undefined {
  if (status < 400) {
    if (status < 300) return problemOfForm(data);
    // Redirects are not followed: no authority sends them, but networks that want a login do.
    return new AcmeProblem({ type: "", status, detail: `it answers with a redirect (HTTP ${status})` });
  }
  const detail = `it answers with HTTP ${status}`;
  return new AcmeProblem({ detail, ...fieldsOf(data), status, retryAfterMs: retryAfter(headers, now) });
}

/** Everything of ACME is JSON (RFC 8555 §6.1) but certificates; networks that want a login answer with pages. */
function problemOfForm(data: unknown): AcmeProblem | undefined {
  if (typeof data !== "string" || data === "" || data.includes("-----BEGIN CERTIFICATE-----"))
    return undefined;
  return new AcmeProblem({
    type: "",
    detail: `what it answers is not ACME, but begins “${data.slice(0, 60)}”`,
  });
}

/** `detail` only where the document has one. */
function fieldsOf(document: unknown): { type: string; detail?: string; names: string[] } {
  const { type, detail, subproblems } = objectOf(document);
  const names = (Array.isArray(subproblems) ? subproblems : []).flatMap((one) => {
    const { value } = objectOf(objectOf(one).identifier);
    return typeof value === "string" ? [value] : [];
  });
  const isAcme = typeof type === "string" && type.startsWith(ERROR_PREFIX);
  return {
    ...{ type: isAcme ? type.slice(ERROR_PREFIX.length) : "", names },
    ...(typeof detail === "string" && { detail }),
  };
}

/** RFC 9110 §10.2.3: seconds or a date. In milliseconds, undefined when it says neither. */
function retryAfter(headers: Answer["headers"], now: number): number | undefined {
  const text = String(headers["retry-after"] ?? "");
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
