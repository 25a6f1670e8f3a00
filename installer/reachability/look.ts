/**
 * Looks at the line that this computer is on: all probes at once, each bounded, and all together too. Without a network
 * the facts say so; nothing throws but the caller's own stop. Called by commands/doctor.ts and the wizard. I/O.
 */
import { statfs } from "node:fs/promises";
import { type AddressAnswer, findAddress, localAddress } from "./addresses.ts";
import { type LineFacts, type PortFact, probedPorts } from "./facts.ts";
import { judgeLine, type LineVerdict } from "./grade.ts";
import type { LineWorld } from "./line-world.ts";
import { isIntercepted, namesBy } from "./names.ts";
import { probePort } from "./ports.ts";
import type { CallPorts } from "./relay-ports.ts";
import { routerFact } from "./router.ts";

export type LineReport = Readonly<{ facts: LineFacts }> & LineVerdict;

/** The folder where images would be put, and of the relay that is in it, if one is, domain and ports for calls. */
export type LineOptions = Readonly<{ directory: string; domain: string | null; callPorts: CallPorts | null }>;

/** Throws the signal's reason. */
export async function lookAtLine(
  world: LineWorld,
  { directory, domain, callPorts }: LineOptions,
  signal: AbortSignal,
): Promise<LineReport> {
  signal.throwIfAborted();
  const asked = new Set<string>();
  const note = (whom: string) => void asked.add(whom);
  const limit = AbortSignal.any([signal, AbortSignal.timeout(world.limits.whole)]);
  const names = namesBy(world.dns, limit, note);
  for (const port of probedPorts) for (const each of world.hosts[port]) note(`${each.host}:${each.port}`);

  const family = (which: 4 | 6) =>
    within<AddressAnswer>(findAddress(which, world, names, note, limit), limit, {
      ...{ local: null, tunnel: null, seen: null, reason: "no answer in time", clockOffset: null },
    });
  const ipv4 = family(4);
  const behind = ipv4.then(async ({ local, seen, tunnel }) => {
    if (seen === null) return { reverse: null, firstHop: null };
    const isTranslated = local !== seen && tunnel === null;
    const [reverse, firstHop] = await Promise.all([
      within(names.reverse(seen), limit, null),
      isTranslated ? (world.firstHopHas?.(seen, limit) ?? null) : null,
    ]);
    return { reverse, firstHop };
  });
  const own = localAddress(4, world.routes[4]);
  const [
    byIpv4,
    byIpv6,
    { reverse, firstHop },
    router,
    domainAddresses,
    namesIntercepted,
    freeBytes,
    ...ports
  ] = await Promise.all([
    ipv4,
    family(6),
    behind,
    within(routerFact(world.router, own, limit), limit, null),
    domain === null ? null : within(names.addresses(domain), limit, null),
    within(isIntercepted(world.dns, limit), limit, false),
    freeIn(directory),
    ...probedPorts.map((port) => {
      const unknown: PortFact = { port, state: "unknown", families: [], tried: [] };
      return within(probePort(port, world, names, limit), limit, unknown);
    }),
  ]);
  signal.throwIfAborted();
  const { clockOffset, ...ipv4Fact } = byIpv4;
  const { clockOffset: otherOffset, ...ipv6Fact } = byIpv6;
  const facts: LineFacts = {
    ...{ ipv4: ipv4Fact, ipv6: ipv6Fact, router, firstHopHasAddress: firstHop, ports },
    ...{ names: names.who(), namesIntercepted, reverse, clockOffset: clockOffset ?? otherOffset, freeBytes },
    domain: domain === null ? null : { name: domain, addresses: domainAddresses },
    callPorts,
    asked: [...asked],
  };
  return { facts, ...judgeLine(facts) };
}

/** What the probe finds, or `otherwise` when it is stopped or gets no answer; its mistakes are thrown. */
async function within<T>(probe: Promise<T>, limit: AbortSignal, otherwise: T): Promise<T> {
  try {
    return await probe;
  } catch (error) {
    const isAnswerless = error instanceof Error && error.name === "NoAnswerError";
    if (!limit.aborted && !isAnswerless) throw error;
    return otherwise;
  }
}

async function freeIn(directory: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  } catch {
    return null; // a folder that cannot be looked at says so when the image is made
  }
}
