/**
 * Which address a computer goes out with, and which one the Internet sees: a service is asked over one kind of IP, by
 * HTTPS, so that nobody on the way can answer. Its Date (RFC 9110 §6.6.1) tells the time besides. Called by look.ts. I/O.
 */
import { createSocket } from "node:dgram";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { NoAnswerError } from "../dns/exchange.ts";
import type { FamilyFact } from "./facts.ts";
import { askHttp, type HttpAnswer } from "./http-exchange.ts";
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
  if (local === null) return { local, tunnel: null, seen: null, reason: "", clockOffset: null };
  const tunnel = tunnelOf(local);
  const reasons: string[] = [];
  let clockOffset: number | null = null;
  for (const url of world.addressServices[family]) {
    if (signal.aborted) break;
    note(url);
    try {
      const { text, date } = await get(family, url, world, names, signal);
      if (date !== undefined) clockOffset = (world.now() - date) / 1000;
      const seen = addressIn(text);
      if (isIP(seen) === family) return { local, tunnel, seen, reason: "", clockOffset };
      reasons.push(`${url} tells no IPv${family} address`);
    } catch (error) {
      if (!(error instanceof NoAnswerError) && !signal.aborted) throw error;
      reasons.push(`${url}: ${(error as Error).message}`);
    }
  }
  const reason = reasons.join("; ") || "no service was asked";
  return { local, tunnel, seen: null, reason, clockOffset };
}

/** A bare address, or the line “ip=” of a list. */
function addressIn(text: string): string {
  return /^ip=(\S+)$/m.exec(text)?.[1] ?? text.trim();
}

/** Interfaces of VPN programs that look like network cards. */
const tunnelNames =
  /^(?:tun|tap|wg|utun|ipsec|tailscale|zt|nordlynx|proton)|\bVPN\b|\bTAP\b|WireGuard|OpenVPN|Tailscale|ZeroTier/i;
/** A line that is dialled from this computer (PPPoE) is the line itself. */
const dialledNames = /^ppp\d/;
const NO_CARD = "00:00:00:00:00:00";

/** The interface of an address, where that is no network card: a card has an address of its own (IEEE 802 MAC). */
export function tunnelOf(local: string, interfaces = networkInterfaces()): string | null {
  for (const [name, entries = []] of Object.entries(interfaces)) {
    const entry = entries.find(({ address }) => address === local);
    if (entry === undefined || entry.internal || dialledNames.test(name)) continue;
    if (entry.mac === NO_CARD || tunnelNames.test(name)) return name;
  }
  return null;
}

/** The address that the system would send from; null when it has no way there. */
export function localAddress(family: 4 | 6, towards: string): Promise<string | null> {
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

/** Throws NoAnswerError. */
async function get(
  family: 4 | 6,
  url: string,
  { limits, authorities }: LineWorld,
  names: Names,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const place = new URL(url);
  const name = place.hostname.replace(/^\[|\]$/g, "");
  const address = (await names.addresses(name)).find((each) => isIP(each) === family);
  if (address === undefined) throw new NoAnswerError(`it has no IPv${family} address`);
  const question = {
    ...{ url: place, address, headers: { accept: "text/plain" } },
    ...{ maxBytes: MAX_ANSWER_BYTES, limit: limits.host, authorities },
  };
  const answer = await askHttp(question, signal);
  if (answer.status !== 200) throw new NoAnswerError(`answers ${answer.status}`);
  return answer;
}
