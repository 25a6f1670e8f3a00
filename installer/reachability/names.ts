/**
 * Finds names for the probes: by this computer's resolver, and by HTTPS where it does not answer. The system's own
 * getaddrinfo(3) is not used: it knows no time limit, and holds the program up after its end. I/O by installer/dns.
 */
import { isIPv4 } from "node:net";
import { DnsFormatError, readName } from "../../appliance/dns/wire.ts";
import { askServer, NoAnswerError } from "../dns/exchange.ts";
import { printable } from "../dns/printable.ts";
import { type AskResolver, hostAddresses, httpsResolver, systemResolver } from "../dns/resolver.ts";
import type { DnsWorld } from "../dns/world.ts";
import type { LineFacts } from "./facts.ts";

/** RFC 1035 §3.3.12. */
const PTR = 12;

export type Names = Readonly<{
  /** Addresses of a host; throws NoAnswerError when nobody answers. */
  addresses: (host: string) => Promise<string[]>;
  /** The name of an IPv4 address; null when it has none, or nobody answers. */
  reverse: (address: string) => Promise<string | null>;
  /** Who answered so far. */
  who: () => LineFacts["names"];
}>;

export function namesBy(dns: DnsWorld, signal: AbortSignal, note: (asked: string) => void): Names {
  const [bySystem, byHttps] = [systemResolver(dns, signal), httpsResolver(dns, signal)];
  let who: LineFacts["names"] = "unasked";
  const ask: AskResolver = async (question, options) => {
    try {
      const answer = await bySystem(question, options);
      who = "resolver";
      return answer;
    } catch (error) {
      if (!(error instanceof NoAnswerError)) throw error;
      if (who === "unasked") who = "none";
      for (const url of dns.https) note(url);
      const answer = await byHttps(question, options);
      if (who === "none") who = "https";
      return answer;
    }
  };
  return {
    addresses: (host) => readable(() => hostAddresses(host, ask)),
    reverse: (address) => readable(() => reverseOf(address)),
    who: () => who,
  };

  async function reverseOf(address: string): Promise<string | null> {
    if (!isIPv4(address)) return null;
    const name = `${address.split(".").reverse().join(".")}.in-addr.arpa`;
    const answer = await ask({ name, type: PTR }, { unchecked: true });
    // RFC 2317: parts of a network are delegated by aliases, which the resolver follows.
    const [record] = answer.message.sections[0].filter(({ type }) => type === PTR);
    return record === undefined ? null : printable(readName(answer.bytes, record.dataStart).name);
  }
}

/** An answer that is none counts as none. */
async function readable<T>(lookUp: () => Promise<T>): Promise<T> {
  try {
    return await lookUp();
  } catch (error) {
    if (!(error instanceof DnsFormatError)) throw error;
    throw new NoAnswerError("the answer of the DNS is damaged", { cause: error });
  }
}

/** Whether somebody answers at an address that nobody has. */
export async function isIntercepted(dns: DnsWorld, signal: AbortSignal): Promise<boolean> {
  const question = { name: "example.org", type: 1 };
  try {
    await askServer({ address: dns.nowhere, port: dns.port }, question, { recursion: true }, signal);
    return true;
  } catch (error) {
    if (!(error instanceof NoAnswerError)) throw error;
    return false;
  }
}
