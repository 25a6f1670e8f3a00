/**
 * One request to another relay: POST /mxdeliv with the envelope in the header and the message as the body, and what can
 * be known of its end. Connections are kept for a while. Called by courier.ts; what answers mean stands in answer.ts.
 */
import type { LookupAddress } from "node:dns";
import { once } from "node:events";
import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent, type AgentOptions, request } from "node:https";
import { isIP, isIPv6, type LookupFunction } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";
import type { Body } from "./body.ts";
import type { Place } from "./places.ts";
import { isOfOtherHost, isPublicAddress } from "./public-address.ts";

export type PostOutcome =
  | Readonly<{ kind: "answered"; status: number; text: string }>
  /** The other side cannot have the whole message. */
  | Readonly<{ kind: "failed"; reason: string }>
  /** It went out whole, and no answer came: nobody knows who has it. */
  | Readonly<{ kind: "uncertain"; reason: string }>
  /** All connections were busy; nothing was begun, and nothing learned about the other side. */
  | Readonly<{ kind: "no place" }>;

export type HttpsPost = Readonly<{
  /** Never throws for what the other side does; throws what reading a streamed body fails with. */
  post: (
    domain: string,
    envelope: Readonly<{ from: string; to: readonly string[] }>,
    body: Body,
    place: Place,
  ) => Promise<PostOutcome>;
  /** Asks for the page without a message. */
  look: (domain: string, place: Place) => Promise<PostOutcome>;
  close: () => void;
}>;

export type HttpsPostOptions = Readonly<{
  /** Holds the roots that certificates are verified against. */
  secureContext: SecureContext;
  resolve4: (name: string) => Promise<string[]>;
  resolve6: (name: string) => Promise<string[]>;
  /** Names may lead to private networks too: for relays whose own name is one for tests. */
  allowPrivate?: boolean;
  /** 443, and no address of this machine itself; tests have their own. */
  port?: number;
  allowLoopback?: boolean;
}>;

/** Address, TCP and TLS together: a host where something swallows packets delays mail by this, twice an hour. */
const CONNECT_LIMIT_MS = 5000;
/** From the first byte to the last of the answer; the other side's policy may ask a slow DNS. Below Postfix's 600 s. */
const ANSWER_LIMIT_MS = 120_000;
/** While all connections to the host are busy (MAX_CONNECTIONS_PER_HOST). */
const PLACE_LIMIT_MS = 30_000;
/** For an answer that needs no policy. */
const LOOK_LIMIT_MS = 10_000;
/** For the rest of an answer that came early. */
const REST_LIMIT_MS = 5000;
/** No byte moved while a large message goes out. */
const STALL_LIMIT_MS = 60_000;
/** A reply of SMTP for each of fifty recipients. */
const MAX_ANSWER_BYTES = 16_384;
/** As many as Postfix opens to one host (default_destination_concurrency_limit). */
const MAX_CONNECTIONS_PER_HOST = 20;
const MAX_CONNECTIONS = 200;
/** A conversation goes on within this time; a server that says a shorter one (Keep-Alive) is obeyed by Node. */
const KEEP_ALIVE_MS = 30_000;
const MAX_IDLE_PER_HOST = 2;
/** Addresses of one name that are tried. */
const MAX_ADDRESSES = 8;

const forbidden: PostOutcome = { kind: "failed", reason: "the address is not public" };
const abandoned = new Error("it is slow, and its place is needed for others");
const noPlace = new Error("all connections are busy");

/** Test names and literals have no certificate that could be verified. */
export function isVerified(domain: string): boolean {
  return !domain.startsWith("_") && !domain.startsWith("[");
}

/** `[192.0.2.1]`, `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3) as the address alone; names as they are. */
function hostOf(domain: string): string {
  return /^\[(?:IPv6:)?(.*)\]$/i.exec(domain)?.[1] ?? domain;
}

export function createHttpsPost(options: HttpsPostOptions): HttpsPost {
  // The types do not know that the agent hands this to tls.connect() like the rest.
  const agentOptions: AgentOptions & { secureContext: SecureContext } = {
    secureContext: options.secureContext,
    keepAlive: true,
    maxSockets: MAX_CONNECTIONS_PER_HOST,
    maxTotalSockets: MAX_CONNECTIONS,
    maxFreeSockets: MAX_IDLE_PER_HOST,
    // The one used last is the least likely to have been closed meanwhile.
    scheduling: "lifo",
    timeout: KEEP_ALIVE_MS,
  };
  const agent = new Agent(agentOptions);
  const isAllowed = (address: string) => options.allowLoopback === true || isPublicAddress(address);
  const lookup = addressLookup(
    options,
    (address) => isAllowed(address) || (options.allowPrivate === true && isOfOtherHost(address)),
  );

  /** An address instead of a name is never looked up: it is looked at before a connection is begun. */
  const isForbidden = (domain: string) => {
    const host = hostOf(domain);
    return isIP(host) !== 0 && !isAllowed(host);
  };

  const start = (domain: string, method: "POST" | "GET", headers: Record<string, string | string[]>) => {
    const host = hostOf(domain);
    return request({
      agent,
      host,
      port: options.port ?? 443,
      method,
      path: "/mxdeliv",
      // A literal is written without IPv6: in a URL (RFC 3986 §3.2.2).
      headers: { Host: isIPv6(host) ? `[${host}]` : host, "User-Agent": "Homing", ...headers },
      ...(isIP(host) ? {} : { servername: host }),
      rejectUnauthorized: isVerified(domain),
      lookup,
    });
  };

  const converse = async (
    outgoing: ClientRequest,
    { signal, goesTo }: Place,
    write: (outgoing: ClientRequest, broken: Promise<never>) => Promise<void>,
    answerLimitMs = ANSWER_LIMIT_MS,
  ): Promise<PostOutcome> => {
    let isSent = false;
    const abandon = () => outgoing.destroy(abandoned);
    signal.addEventListener("abort", abandon);
    outgoing.on("finish", () => {
      isSent = true;
    });
    const { answer, broken, hasBegun, isComplete } = answerOf(outgoing);
    try {
      if (signal.aborted) throw abandoned;
      const found = outgoing.socket ?? once(outgoing, "socket").then(([socket]) => socket as TLSSocket);
      const socket = await within(PLACE_LIMIT_MS, Promise.race([found, broken]), noPlace);
      const tellAddress = () => goesTo(socket.remoteAddress ?? "");
      if (outgoing.reusedSocket) tellAddress();
      else socket.once("connect", tellAddress);
      if (!outgoing.reusedSocket)
        await within(CONNECT_LIMIT_MS, Promise.race([once(socket, "secureConnect"), broken]));
      await write(outgoing, broken);
      return await within(answerLimitMs, answer);
    } catch (error) {
      if (error instanceof SourceError) throw error.cause;
      // A refusal may come before the message is out, and the connection end with it.
      const early = hasBegun() ? await within(REST_LIMIT_MS, answer).catch(() => undefined) : undefined;
      if (early !== undefined) return early;
      if (error === noPlace) return { kind: "no place" };
      const { message, code } = error as NodeJS.ErrnoException;
      return { kind: isSent ? "uncertain" : "failed", reason: message || String(code) };
    } finally {
      signal.removeEventListener("abort", abandon);
      // The connection goes on when request and answer are whole.
      if (!isSent || !isComplete()) outgoing.destroy();
    }
  };

  return {
    post: async (domain, { from, to }, body, place) => {
      if (isForbidden(domain)) return forbidden;
      const outgoing = start(domain, "POST", {
        "Content-Type": "message/rfc822",
        ...(body.isWhole && { "Content-Length": String(body.bytes) }),
        // Absent for the null sender.
        ...(from !== "" && { "X-MAIL-FROM": from }),
        "X-MAIL-TO": [...to],
      });
      return converse(outgoing, place, (opened, broken) => writeBody(opened, body, broken, place));
    },
    look: async (domain, place) => {
      if (isForbidden(domain)) return forbidden;
      const end = async (outgoing: ClientRequest) => void outgoing.end();
      return converse(start(domain, "GET", {}), place, end, LOOK_LIMIT_MS);
    },
    close: () => agent.destroy(),
  };
}

/** What the message comes from failed, not what it goes to. */
class SourceError extends Error {
  override name = "SourceError";
}

async function writeBody(
  outgoing: ClientRequest,
  body: Body,
  broken: Promise<never>,
  { moved }: Place,
): Promise<void> {
  let waiting = 0;
  const tellMoved = () => {
    moved(waiting);
    waiting = 0;
  };
  outgoing.once("finish", tellMoved);
  let isFull = false;
  /** Piece by piece, so that it shows whether they go out. */
  const write = async (piece: Buffer): Promise<void> => {
    if (isFull) {
      await within(STALL_LIMIT_MS, Promise.race([once(outgoing, "drain"), broken]));
      tellMoved();
    }
    if (outgoing.destroyed) throw new Error("the connection ended before the message");
    waiting += piece.length;
    isFull = !outgoing.write(piece);
  };
  if (body.isWhole) {
    for (const piece of body.chunks) await write(piece);
  } else {
    const iterator = body.source[Symbol.asyncIterator]();
    for (;;) {
      const { done, value } = await iterator.next().catch((cause: unknown) => {
        // Not ended: the other side sees that this is not all, and drops it.
        outgoing.destroy();
        throw new SourceError("the message broke off", { cause });
      });
      if (done) break;
      await write(value);
    }
  }
  outgoing.end();
}

async function within<T>(
  limitMs: number,
  what: Promise<T>,
  tooLate = new Error(`nothing happened for ${limitMs / 1000} s`),
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(tooLate), limitMs);
  try {
    return await Promise.race([what, late]);
  } finally {
    clearTimeout(timer);
    // Whoever loses the race may fail later, when nobody listens any more.
    what.catch(() => {});
  }
}

/** `broken` fails when nothing more is to be written: there will be no answer, or it has begun. */
function answerOf(outgoing: ClientRequest) {
  const { promise: answer, resolve, reject } = Promise.withResolvers<PostOutcome>();
  const { promise: broken, reject: breakOff } = Promise.withResolvers<never>();
  let hasBegun = false;
  let isComplete = false;
  const fail = (error: Error) => {
    breakOff(error);
    if (!hasBegun) reject(error);
  };
  outgoing.on("error", fail);
  outgoing.on("close", () => fail(new Error("the connection ended")));
  outgoing.on("response", (response) => {
    hasBegun = true;
    breakOff(new Error("the answer came before the end of the message"));
    readAnswer(response).then((outcome) => {
      isComplete = response.complete;
      resolve(outcome);
    }, reject);
  });
  for (const promise of [answer, broken]) promise.catch(() => {});
  return { answer, broken, hasBegun: () => hasBegun, isComplete: () => isComplete };
}

async function readAnswer(response: IncomingMessage): Promise<PostOutcome> {
  let text = "";
  for await (const chunk of response) {
    text += (chunk as Buffer).toString("latin1");
    if (text.length > MAX_ANSWER_BYTES) {
      response.destroy();
      break;
    }
  }
  return { kind: "answered", status: response.statusCode ?? 0, text: text.slice(0, MAX_ANSWER_BYTES) };
}

/** Addresses by the resolver, not by getaddrinfo(3), which has four threads for all that wait. */
function addressLookup(
  { resolve4, resolve6 }: HttpsPostOptions,
  isAllowed: (address: string) => boolean,
): LookupFunction {
  return (name, { all }, done) => {
    const find = async (): Promise<LookupAddress[]> => {
      const answers = await Promise.allSettled([resolve6(name), resolve4(name)]);
      const found = answers.flatMap((answer, i) =>
        answer.status === "fulfilled"
          ? answer.value.map((address) => ({ address, family: i === 0 ? 6 : 4 }))
          : [],
      );
      const usable = found.filter(({ address }) => isAllowed(address)).slice(0, MAX_ADDRESSES);
      if (usable.length > 0) return usable;
      const reason = found.length > 0 ? "its addresses are not public" : "it has no address";
      throw Object.assign(new Error(`${name}: ${reason}`), { code: "ENOTFOUND" });
    };
    find().then(
      (found) => (all ? done(null, found) : done(null, found[0]!.address, found[0]!.family)),
      (error: NodeJS.ErrnoException) => done(error, []),
    );
  };
}
