/**
 * What the stand-ins of the providers have in common: each is a function from request to answer over a zone that it
 * keeps, with its provider's rules and forms; this makes it a `fetch` (contract.test.ts) or a server (whole runs), with
 * failures where a test wants them.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Credentials, ProviderClock, ProviderDescription } from "../../../appliance/dns/provider.ts";
import type { ValueRow } from "../../../appliance/dns/record-set.ts";

export type FakeRequest = Readonly<{
  method: string;
  /** From the base URL on. */
  path: string;
  query: URLSearchParams;
  headers: Headers;
  /** As sent. */
  text: string;
  /** The text as JSON; undefined when there is none. */
  body: unknown;
  url: string;
}>;

export type FakeAnswer = Readonly<{
  status: number;
  /** Sent as JSON; a string as it is. */
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
}>;

export type FakeProvider = Readonly<{
  description: ProviderDescription;
  /** What it takes, and the same with a wrong secret. */
  credentials: Credentials;
  wrongCredentials: Credentials;
  baseUrl: string;
  /** What the name servers would answer from now on, canonical. */
  rows(): ValueRow[];
  answer(request: FakeRequest): FakeAnswer;
  /** What the provider answers when it refuses a change for lack of rights, is asked too often, or is broken. */
  failures: Readonly<Record<"forbidden" | "busy" | "broken", FakeAnswer>>;
  /** Whether the request only asks; for those whose interface does all by POST. */
  isRead(request: FakeRequest): boolean;
}>;

/** `zone` with these records, canonical; NS and SOA come from the stand-in where the provider shows them. */
export type MakeFake = (zone: string, rows: readonly ValueRow[]) => FakeProvider;

/** What happens to a request: `lost` is done but its answer does not arrive; `refused` is not done. */
export type Fault = "lost" | "refused" | FakeAnswer | undefined;

export type FakeRun = Readonly<{
  fetch: typeof globalThis.fetch;
  clock: ProviderClock;
  /** All requests until now. */
  requests: readonly FakeRequest[];
  /** How long the client waited, each time. In milliseconds. */
  waits: readonly number[];
}>;

/** `faultOf`: what happens to the request; the first one has the number 1. */
export function runFake(
  fake: Pick<FakeProvider, "answer" | "baseUrl">,
  faultOf: (number: number, request: FakeRequest) => Fault = () => undefined,
): FakeRun {
  const requests: FakeRequest[] = [];
  const waits: number[] = [];
  let now = Date.now();
  const fetch = async (input: Parameters<typeof globalThis.fetch>[0], init: RequestInit = {}) => {
    const request = requestOf(String(input), fake.baseUrl, init);
    requests.push(request);
    const fault = faultOf(requests.length, request);
    if (fault === "refused") throw new TypeError("fetch failed", { cause: new Error("connection refused") });
    const answer = typeof fault === "object" ? fault : fake.answer(request);
    if (fault === "lost") throw new TypeError("fetch failed", { cause: new Error("connection reset") });
    return responseOf(answer);
  };
  const wait = async (milliseconds: number) => {
    waits.push(milliseconds);
    now += milliseconds;
  };
  return { fetch, requests, waits, clock: { now: () => now, wait } };
}

/** The stand-in as a server on this computer; `baseUrl` is for ConnectOptions. */
export async function serveFake(fake: FakeProvider): Promise<AsyncDisposable & { baseUrl: string }> {
  const basePath = new URL(fake.baseUrl).pathname.replace(/\/$/, "");
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const { method = "GET", url = "/" } = incoming;
    const body = Buffer.concat(chunks).toString();
    const headers = Object.entries(incoming.headers).map(
      ([key, value]) => [key, String(value)] as [string, string],
    );
    // Signatures are over the whole URL, as the client knows it.
    const base = `http://${incoming.headers.host}${basePath}`;
    const answer = fake.answer(
      requestOf(`http://${incoming.headers.host}${url}`, base, {
        method,
        headers,
        ...(body === "" ? {} : { body }),
      }),
    );
    const { status } = answer;
    outgoing.writeHead(status, { "content-type": "application/json", ...answer.headers }).end(textOf(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}${basePath}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function requestOf(url: string, baseUrl: string, init: RequestInit): FakeRequest {
  const { pathname, searchParams } = new URL(url);
  const basePath = new URL(baseUrl).pathname.replace(/\/$/, "");
  if (!url.startsWith(baseUrl)) throw new Error(`${url} is not below ${baseUrl}`);
  const text = typeof init.body === "string" ? init.body : "";
  return {
    ...{ method: init.method ?? "GET", path: pathname.slice(basePath.length), query: searchParams, url },
    ...{ headers: new Headers(init.headers), text, body: text === "" ? undefined : JSON.parse(text) },
  };
}

const textOf = ({ body }: FakeAnswer) =>
  body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);

function responseOf(answer: FakeAnswer): Response {
  const text = textOf(answer);
  return new Response(text === "" ? null : text, {
    status: answer.status,
    headers: { "content-type": "application/json", ...answer.headers },
  });
}

/** Why a provider would not keep the row beside the others; undefined when it would. */
export function conflictOf(rows: readonly ValueRow[], row: ValueRow): "duplicate" | "cname" | undefined {
  const there = rows.filter(({ name }) => name === row.name);
  if (there.some(({ type, value }) => type === row.type && value === row.value)) return "duplicate";
  // RFC 1034 §3.6.2.
  const isAlias = row.type === "CNAME";
  // An ALIAS answers with addresses, so that there are none of the name's own.
  const standsFor = (type: string) => (["A", "AAAA", "ALIAS"].includes(type) ? "addresses" : "");
  const isTwice = ({ type }: ValueRow) =>
    standsFor(row.type) !== "" &&
    standsFor(type) === standsFor(row.type) &&
    (type === "ALIAS") !== (row.type === "ALIAS");
  return there.some((each) => isAlias || each.type === "CNAME" || isTwice(each)) ? "cname" : undefined;
}
