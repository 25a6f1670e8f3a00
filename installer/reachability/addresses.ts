/**
 * Which address a computer goes out with, and which one the Internet sees: a service is asked over one kind of IP, by
 * HTTPS, so that nobody on the way can answer. Its Date (RFC 9110 §6.6.1) tells the time besides. Called by look.ts. I/O.
 */
import { createSocket } from "node:dgram";
import { type RequestOptions, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";
import { rootCertificates } from "node:tls";
import { NoAnswerError } from "../dns/exchange.ts";
import type { FamilyFact } from "./facts.ts";
import type { LineWorld } from "./line-world.ts";
import type { Names } from "./names.ts";

/** An address, or a dozen lines with one among them. */
const MAX_ANSWER_BYTES = 4096;
/** Towards the port of HTTPS; nothing is sent. */
const ROUTE_PORT = 443;

export type AddressAnswer = FamilyFact & Readonly<{ clockOffset: number | null }>;

export async function findAddress(
  family: 4 | 6,
  world: LineWorld,
  names: Names,
  note: (asked: string) => void,
  signal: AbortSignal,
): Promise<AddressAnswer> {
  const local = await localAddress(family, world.routes[family]);
  if (local === null) return { local, seen: null, reason: "", clockOffset: null };
  const reasons: string[] = [];
  let clockOffset: number | null = null;
  for (const url of world.addressServices[family]) {
    if (signal.aborted) break;
    note(url);
    try {
      const { text, date } = await get(family, url, world, names, signal);
      if (date !== undefined) clockOffset = (world.now() - date) / 1000;
      const seen = addressIn(text);
      if (isIP(seen) === family) return { local, seen, reason: "", clockOffset };
      reasons.push(`${url} tells no IPv${family} address`);
    } catch (error) {
      if (!(error instanceof NoAnswerError) && !signal.aborted) throw error;
      reasons.push(`${url}: ${(error as Error).message}`);
    }
  }
  return { local, seen: null, reason: reasons.join("; ") || "no service was asked", clockOffset };
}

/** A bare address, or the line “ip=” of a list. */
function addressIn(text: string): string {
  return /^ip=(\S+)$/m.exec(text)?.[1] ?? text.trim();
}

/** The address that the system would send from; null when it has no way there. */
function localAddress(family: 4 | 6, towards: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket(family === 4 ? "udp4" : "udp6");
    const end = (address: string | null) => {
      socket.removeAllListeners();
      socket.on("error", () => {}); // of a socket that nobody waits for any more
      socket.close();
      resolve(address);
    };
    socket.on("error", () => end(null));
    // Called with the error where there is no way to the address.
    const connected = (error?: Error) => end(error instanceof Error ? null : socket.address().address);
    socket.connect(ROUTE_PORT, towards, connected);
  });
}

type Answer = Readonly<{ text: string; date: number | undefined }>;

/** Throws NoAnswerError. */
async function get(
  family: 4 | 6,
  url: string,
  { limits, authorities }: LineWorld,
  names: Names,
  signal: AbortSignal,
): Promise<Answer> {
  const { protocol, hostname, port, pathname, search, host } = new URL(url);
  const name = hostname.replace(/^\[|\]$/g, "");
  const address = (await names.addresses(name)).find((each) => isIP(each) === family);
  if (address === undefined) throw new NoAnswerError(`it has no IPv${family} address`);
  const options: RequestOptions & { servername: string; ca?: string[] } = {
    ...{ host: address, port, path: `${pathname}${search}`, agent: false },
    headers: { host, accept: "text/plain" },
    // A server's name by SNI is never an address (RFC 6066 §3).
    servername: isIP(name) === 0 ? name : "",
    ...(authorities !== undefined && { ca: [...rootCertificates, authorities] }),
    signal: AbortSignal.any([signal, AbortSignal.timeout(limits.host)]),
  };
  return new Promise((resolve, reject) => {
    const fail = (words: string, cause?: unknown) => reject(new NoAnswerError(words, { cause }));
    const failed = (error: NodeJS.ErrnoException) =>
      fail(error.name === "AbortError" ? "no answer" : (error.code ?? error.message), error);
    const asked = (protocol === "http:" ? requestHttp : requestHttps)(options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on("error", failed);
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size <= MAX_ANSWER_BYTES) return;
        fail(`more than ${MAX_ANSWER_BYTES} bytes`);
        asked.destroy();
      });
      response.on("end", () => {
        if (response.statusCode !== 200) return fail(`answers ${response.statusCode}`);
        const date = Date.parse(response.headers.date ?? "");
        resolve({
          text: Buffer.concat(chunks).toString("latin1"),
          date: Number.isNaN(date) ? undefined : date,
        });
      });
    });
    asked.on("error", failed);
    asked.end();
  });
}
