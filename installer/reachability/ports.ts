/**
 * Tries whether a line lets connections out to a port: connects to well-known servers and waits until one speaks as
 * servers do there (SMTP: RFC 5321 §4.2, TLS with a certificate that verifies: RFC 8314 §3.3). A mere connection shows
 * nothing, for translators and guest networks accept those for everybody. Called by look.ts. I/O.
 */
import { connect, isIP, isIPv4, type Socket } from "node:net";
import { connect as connectTls, rootCertificates } from "node:tls";
import { NoAnswerError } from "../dns/exchange.ts";
import type { PortFact, ProbedPort } from "./facts.ts";
import type { LineWorld, ProbedHost } from "./line-world.ts";
import type { Names } from "./names.ts";

/** A greeting is one line of at most 512 octets (RFC 5321 §4.5.3.1.5). */
const MAX_GREETING_BYTES = 512;

type Attempt = Readonly<{ state: PortFact["state"]; family: 4 | 6; words: string }>;

export async function probePort(
  port: ProbedPort,
  world: LineWorld,
  names: Names,
  signal: AbortSignal,
): Promise<PortFact> {
  const attempts = (
    await Promise.all(world.hosts[port].map((host) => probeHost(port, host, world, names, signal)))
  ).flat();
  const states = attempts.map(({ state }) => state);
  const state = (["open", "intercepted", "closed"] as const).find((each) => states.includes(each));
  const families = ([4, 6] as const).filter((family) =>
    attempts.some((attempt) => attempt.state === "open" && attempt.family === family),
  );
  return { port, state: state ?? "unknown", families, tried: attempts.map(({ words }) => words) };
}

async function probeHost(
  port: ProbedPort,
  host: ProbedHost,
  world: LineWorld,
  names: Names,
  signal: AbortSignal,
): Promise<Attempt[]> {
  const where = `${host.host} port ${host.port}`;
  let addresses: readonly string[];
  try {
    addresses = await names.addresses(host.host);
  } catch (error) {
    if (!(error instanceof NoAnswerError) && !signal.aborted) throw error;
    return [{ state: "unknown", family: 4, words: `${where}: its address was not found` }];
  }
  // One address of each kind: more of the same house tell nothing more about the line.
  const [ipv4, ipv6] = [addresses.find((each) => isIPv4(each)), addresses.find((each) => isIP(each) === 6)];
  const some = [ipv4, ipv6].filter((each) => each !== undefined);
  if (some.length === 0) return [{ state: "unknown", family: 4, words: `${where}: it has no address` }];
  return Promise.all(
    some.map(async (address): Promise<Attempt> => {
      const { state, words } = await speak(port, { ...host, address }, world, signal);
      return { state, family: isIPv4(address) ? 4 : 6, words: `${where} (${address}): ${words}` };
    }),
  );
}

type Outcome = Readonly<{ state: "open" | "closed" | "intercepted"; words: string }>;

function speak(
  port: ProbedPort,
  { host, port: hostPort, address }: ProbedHost & Readonly<{ address: string }>,
  { limits, authorities }: LineWorld,
  signal: AbortSignal,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const withTls = port === 443 || port === 465;
    const place = { host: address, port: hostPort };
    const socket: Socket = withTls
      ? connectTls({
          ...place,
          // A server's name by SNI is never an address (RFC 6066 §3).
          servername: isIP(host) === 0 ? host : "",
          ...(authorities !== undefined && { ca: [...rootCertificates, authorities] }),
        })
      : connect(place);
    let isConnected = false;
    let received = Buffer.alloc(0);
    const end = (state: Outcome["state"], words: string) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", silent);
      socket.destroy();
      resolve({ state, words });
    };
    const silent = () =>
      isConnected ? end("intercepted", "connected, then silence") : end("closed", "no answer");
    const timer = setTimeout(silent, limits.host);
    if (signal.aborted) return silent();
    signal.addEventListener("abort", silent);
    socket.on("connect", () => {
      isConnected = true;
    });
    socket.on("secureConnect", () => end("open", "answers"));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const words = error.code ?? error.message;
      end(isConnected ? "intercepted" : "closed", words);
    });
    socket.on("close", () => end("intercepted", "connected, then closed"));
    if (withTls) return;
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4) return;
      // 554 and 421 refuse this address, but by a mail server: the port is open.
      if (/^(?:220|554|421)[ -]/.test(received.toString("latin1", 0, 4))) end("open", "answers");
      else if (received.includes(0x0a) || received.length > MAX_GREETING_BYTES)
        end("intercepted", "connected, but no mail server answers");
    });
  });
}
