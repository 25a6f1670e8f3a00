/**
 * Looks at the line that this computer is on: all probes at once, each bounded, and all together too. Without a network
 * the facts say so; nothing throws but the caller's own stop. Called by commands/doctor.ts and the wizard. I/O.
 */
import { statfs } from "node:fs/promises";
import { type AddressAnswer, findAddress } from "./addresses.ts";
import { type LineFacts, type PortFact, probedPorts } from "./facts.ts";
import { judgeLine, type LineVerdict } from "./grade.ts";
import type { LineWorld } from "./line-world.ts";
import { isIntercepted, namesBy } from "./names.ts";
import { probePort } from "./ports.ts";
import { routerAddress } from "./router.ts";

export type LineReport = Readonly<{ facts: LineFacts }> & LineVerdict;

/** `directory`: where images would be put. Throws the signal's reason. */
export async function lookAtLine(
  world: LineWorld,
  directory: string,
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
      ...{ local: null, seen: null, reason: "no answer in time", clockOffset: null },
    });
  const first = Promise.all([family(4), family(6)]).then(async ([ipv4, ipv6]) => {
    const reverse = ipv4.seen === null ? null : await within(names.reverse(ipv4.seen), limit, null);
    return { ipv4, ipv6, reverse };
  });
  const [{ ipv4, ipv6, reverse }, router, namesIntercepted, freeBytes, ...ports] = await Promise.all([
    first,
    within(routerAddress(world, limit), limit, null),
    within(isIntercepted(world.dns, limit), limit, false),
    freeIn(directory),
    ...probedPorts.map((port) => {
      const unknown: PortFact = { port, state: "unknown", families: [], tried: [] };
      return within(probePort(port, world, names, limit), limit, unknown);
    }),
  ]);
  signal.throwIfAborted();
  const { clockOffset: byIpv4, ...ipv4Fact } = ipv4;
  const { clockOffset: byIpv6, ...ipv6Fact } = ipv6;
  const facts: LineFacts = {
    ...{ ipv4: ipv4Fact, ipv6: ipv6Fact, routerAddress: router, ports, names: names.who() },
    ...{ namesIntercepted, reverse, clockOffset: byIpv4 ?? byIpv6, freeBytes, asked: [...asked] },
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
