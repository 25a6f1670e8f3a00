/**
 * What the public DNS says of a name before anything of ours is there: its zone, who keeps it, and whether mail goes
 * there already. Asks the resolver at hand, in bounded time; without a network it says so. Called by real-effects.ts.
 */
import type { MxRecord } from "node:dns";
import { Resolver } from "node:dns/promises";
import { isTestDomain } from "../../appliance/domain.ts";
import type { DomainFacts } from "./effects.ts";

export type FactLookups = Readonly<{
  resolveNs(name: string): Promise<string[]>;
  resolveMx(name: string): Promise<MxRecord[]>;
  /** Ends all questions with ECANCELLED. */
  cancel(): void;
}>;

/** Name servers' names, and who they belong to. */
export type Recognise = (
  nameServers: readonly string[],
) => Pick<DomainFacts, "provider" | "providerName" | "pathByHand">;

/** A person waits for it: no longer than this for all questions together. */
const LIMIT_MILLISECONDS = 8000;
/** For one question; a resolver that is there answers within it. */
const ASK_MILLISECONDS = 2500;

export function systemLookups(): FactLookups {
  return new Resolver({ timeout: ASK_MILLISECONDS, tries: 1 });
}

export async function lookAtDomain(
  domain: string,
  lookups: FactLookups,
  recognise: Recognise,
  signal: AbortSignal,
): Promise<DomainFacts> {
  const unknown: DomainFacts = {
    domain,
    reachable: false,
    zone: undefined,
    nameServers: [],
    ...recognise([]),
    mailServers: [],
  };
  // Nobody keeps public records of a test name.
  if (isTestDomain(domain)) return { ...unknown, reachable: true };
  const stop = () => lookups.cancel();
  const timer = setTimeout(stop, LIMIT_MILLISECONDS);
  signal.addEventListener("abort", stop);
  try {
    const [found, mail] = await Promise.all([findZone(domain, lookups), answer(lookups.resolveMx(domain))]);
    if (found === "unreachable" || mail === "unreachable") return unknown;
    const { zone, nameServers } = found;
    const mailServers = mail
      // RFC 7505: an MX to the root says that the name takes no mail.
      .map(({ exchange }) => exchange.toLowerCase().replace(/\.$/, ""))
      .filter((exchange) => exchange !== "" && exchange !== domain);
    return {
      ...{ domain, reachable: true, zone, nameServers, mailServers },
      ...recognise(nameServers),
    };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

type Found = Readonly<{ zone: string | undefined; nameServers: readonly string[] }>;

/** The closest zone above the name; a top-level domain alone does not count. */
async function findZone(domain: string, lookups: FactLookups): Promise<Found | "unreachable"> {
  const labels = domain.split(".");
  for (let start = 0; start < labels.length - 1; start++) {
    const zone = labels.slice(start).join(".");
    const servers = await answer(lookups.resolveNs(zone));
    if (servers === "unreachable") return servers;
    if (servers.length > 0)
      return { zone, nameServers: servers.map((name) => name.toLowerCase().replace(/\.$/, "")).sort() };
  }
  return { zone: undefined, nameServers: [] };
}

/** No record and no such name are answers; every other error means that nobody knows. */
async function answer<Records>(asked: Promise<Records[]>): Promise<Records[] | "unreachable"> {
  try {
    return await asked;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "ENOTFOUND" || code === "ENODATA") return [];
    if (!(error instanceof Error) || code === "") throw error;
    return "unreachable";
  }
}
