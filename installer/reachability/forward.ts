/**
 * Has the router forward a relay's ports to a device of the local network, or takes that back: port by port, by the first
 * way that does it. What others have had forwarded stays as it is. Called by commands/doctor.ts. I/O: the router alone.
 */
import { localAddress } from "./addresses.ts";
import type { RouterFact } from "./facts.ts";
import {
  type Forwarder,
  type ForwardingWay,
  forwardingLabel,
  type Holder,
  RefusedError,
  wayNames,
} from "./forwarder.ts";
import { areTooMany, type CallPorts, portWords, type RouterPort, routerPorts } from "./relay-ports.ts";
import { askRouterOfItself, findRouter, type RouterPlaces } from "./router.ts";

/** There is nobody to ask, or nothing that could be asked for. */
export class ForwardingError extends Error {
  override name = "ForwardingError";
}

export type PortOutcome = RouterPort &
  Readonly<{
    /**
     * "forwarded" to the target; "held": by somebody else, and left so; "refused" by the router. When taken back: "removed",
     * or "absent": nothing of ours to the target was there.
     */
    state: "forwarded" | "held" | "refused" | "removed" | "absent";
    way: ForwardingWay | null;
    /** How long the router keeps it unless it is asked again; null: for good, or nothing is forwarded. */
    seconds: number | null;
    /** Who has it, or why not, or how sure it is; "" otherwise. */
    reason: string;
  }>;

export type ForwardingReport = Readonly<{
  router: RouterFact;
  /** This computer's address. */
  own: string;
  target: string;
  ports: readonly PortOutcome[];
  /** What the relay needs for calls, if it helps with them. */
  calls: CallPorts | null;
  /** They were too many to ask for, and somebody has to enter them by hand. */
  areCallsLeft: boolean;
}>;

export type Forwarding = Readonly<{
  router: RouterFact;
  own: string;
  /** `calls`: of a relay that helps with them. */
  open: (target: string, calls?: CallPorts | null) => Promise<ForwardingReport>;
  close: (target: string, calls?: CallPorts | null) => Promise<ForwardingReport>;
}>;

/** A week: what UPnP's second version gives at most (§2.3.17). PCP and NAT-PMP give what they like of it, often a day. */
const WISHED_S = 604_800;
/** Every question has a limit of its own; a router that lets each one run out is asked no further. In milliseconds. */
const WHOLE_LIMIT_MS = 40_000;
/** More for each port of calls. */
const CALL_PORT_LIMIT_MS = 1_000;

/**
 * Finds the router and the ways that it knows; changes nothing. `secret` makes PCP's nonces. Throws ForwardingError and
 * the signal's reason.
 */
export async function findForwarding(
  wished: RouterPlaces | undefined,
  secret: Buffer,
  signal: AbortSignal,
): Promise<Forwarding> {
  const places = await findRouter(wished);
  const own = places === null ? null : await localAddress(4, places.mapping.address);
  signal.throwIfAborted();
  if (places === null || own === null) {
    throw new ForwardingError("no router was found: connect this computer to the relay's line, by IPv4");
  }
  const limit = AbortSignal.any([signal, AbortSignal.timeout(WHOLE_LIMIT_MS)]);
  const { outerAddress, forwarders } = await askRouterOfItself(places, { own, secret }, limit);
  signal.throwIfAborted();
  const router = { address: places.address, outerAddress, forwarding: forwarders.map(({ way }) => way) };
  const forEach =
    (
      noWay: (router: string, device: string, calls: CallPorts | null) => string,
      act: (
        forwarders: Forwarder[],
        port: RouterPort,
        target: string,
        limit: AbortSignal,
      ) => Promise<PortOutcome>,
    ) =>
    async (target: string, calls: CallPorts | null = null) => {
      const asked = routerPorts(calls);
      const limitMs =
        WHOLE_LIMIT_MS + CALL_PORT_LIMIT_MS * asked.filter(({ protocol }) => protocol === "udp").length;
      const bound = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
      if (forwarders.length === 0)
        throw new ForwardingError(noWay(places.address, target === own ? "the relay" : target, calls));
      const left = [...forwarders];
      const outcomes: PortOutcome[] = [];
      // One after another: routers write each to their list.
      for (const port of asked) {
        outcomes.push(await act(left, port, target, bound));
        signal.throwIfAborted();
      }
      if (act === closePort) {
        const ending = AbortSignal.any([signal, AbortSignal.timeout(WHOLE_LIMIT_MS)]);
        for (const port of await oursLeft(left, target, asked, ending))
          outcomes.push(await act(left, port, target, ending));
        signal.throwIfAborted();
      }
      const areCallsLeft = act === openPort && calls !== null && areTooMany(calls);
      return { router, own, target, ports: outcomes, calls, areCallsLeft };
    };
  return { router, own, open: forEach(nobodyOpens, openPort), close: forEach(nobodyCloses, closePort) };
}

const nobodyOpens = (router: string, device: string, calls: CallPorts | null) =>
  `the router at ${router} forwards nothing when a program asks: UPnP, PCP and NAT-PMP are off there, or unknown to it. ` +
  `Switch UPnP on for a moment in its settings, or enter it by hand: forward the ${portWords(calls)}, ` +
  `each to the same port of ${device} (“port forwarding”, “virtual server”, “NAT”)`;

const nobodyCloses = (router: string) =>
  `the router at ${router} does nothing when a program asks: UPnP, PCP and NAT-PMP are off there, or unknown to it. ` +
  "Look at its own page for what it forwards";

async function openPort(
  forwarders: Forwarder[],
  port: RouterPort,
  target: string,
  signal: AbortSignal,
): Promise<PortOutcome> {
  const ask = async ({ way, holder, open }: Forwarder): Promise<PortOutcome> => {
    const before = (await holder?.(port, signal)) ?? null;
    const isThere = before?.target === target && before.port === port.port;
    if (before !== null && !isThere) {
      return { ...port, state: "held", way, seconds: null, reason: holderWords(before) };
    }
    // What its owner entered stays as it is; ours may have an end, and is prolonged.
    if (before !== null && !isOurs(before)) {
      return { ...port, state: "forwarded", way, seconds: null, reason: "as before" };
    }
    const { seconds } = await open({ ...port, target, seconds: WISHED_S }, signal);
    return { ...port, state: "forwarded", way, seconds, reason: "" };
  };
  return firstThatDoes(forwarders, port, ask);
}

async function closePort(
  forwarders: Forwarder[],
  port: RouterPort,
  target: string,
  signal: AbortSignal,
): Promise<PortOutcome> {
  let staying: PortOutcome | undefined;
  let listed: () => Promise<Holder | null> = () => Promise.resolve(null);
  const ask = async ({ way, holder, close }: Forwarder): Promise<PortOutcome | undefined> => {
    // NAT-PMP takes back whatever goes to this computer.
    if (staying !== undefined && way !== "pcp") return staying;
    const look = async () => (await holder?.(port, signal)) ?? null;
    const before = await look();
    if (before !== null && !(isOurs(before) && before.target === target)) {
      listed = look;
      const advice = isOurs(before) ? ": name it by --to" : ", which stays";
      staying = { ...port, state: "absent", way, seconds: null, reason: `${holderWords(before)}${advice}` };
      return mayBePcps(before) && before.target === target ? undefined : staying;
    }
    const done = await close({ ...port, target }, signal);
    if (done === "absent") return undefined;
    if ((await listed()) !== null) return staying;
    const reason = done === "unseen" ? "if it was there" : "";
    return { ...port, state: "removed", way, seconds: null, reason };
  };
  const nothing: PortOutcome = { ...port, state: "absent", way: null, seconds: null, reason: "" };
  const outcome = await firstThatDoes(forwarders, port, ask, nothing);
  return outcome.state === "removed" ? outcome : (staying ?? outcome);
}

/**
 * What else of ours goes to the target: ports for calls, when the folder that named them is not named now, or names others.
 * Nothing where no list tells.
 */
async function oursLeft(
  forwarders: readonly Forwarder[],
  target: string,
  asked: readonly RouterPort[],
  signal: AbortSignal,
): Promise<RouterPort[]> {
  const names = new Set(asked.map(nameOf));
  const found = new Map<string, RouterPort>();
  for (const { list } of forwarders) {
    const listed = await list?.(signal).catch((error: unknown) => {
      if (error instanceof RefusedError) return undefined;
      throw error;
    });
    for (const { outside, holder } of listed ?? []) {
      const isAsked = names.has(nameOf(outside));
      if (isOurs(holder) && holder.target === target && !isAsked) found.set(nameOf(outside), outside);
    }
  }
  return [...found.values()];
}

const nameOf = ({ protocol, port }: RouterPort) => `${protocol} ${port}`;

/** Asks one way after another. One that did not answer is not asked again. */
async function firstThatDoes(
  forwarders: Forwarder[],
  port: RouterPort,
  ask: (forwarder: Forwarder) => Promise<PortOutcome | undefined>,
  otherwise?: PortOutcome,
): Promise<PortOutcome> {
  const reasons: string[] = [];
  for (const forwarder of [...forwarders]) {
    try {
      const outcome = await ask(forwarder);
      if (outcome !== undefined) return outcome;
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      reasons.push(`by ${wayNames[forwarder.way]}: ${error.message}`);
      if (error.isSilence) forwarders.splice(forwarders.indexOf(forwarder), 1);
    }
  }
  if (otherwise !== undefined && reasons.length === 0) return otherwise;
  return {
    ...port,
    state: "refused",
    way: null,
    seconds: null,
    reason: reasons.join("; ") || "it does not answer",
  };
}

const isOurs = ({ label }: Holder) => label === forwardingLabel;
/** Some routers list PCP's forwardings too, by names of their own. The nonce tells whose it is (RFC 6887 §11.3). */
const mayBePcps = ({ label }: Holder) => /^PCP\b/.test(label);

const holderWords = ({ target, port, label }: Holder) =>
  `goes to ${target} port ${port}${label && ` (“${label}”)`}`;
