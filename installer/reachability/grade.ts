/**
 * Judges a line to the Internet: what a relay behind it could do, what stands in its way, and what would improve it.
 * Pure; called by look.ts. What comes in cannot be tried from inside the line: the grade says what is possible once
 * the router lets the relay's ports in.
 */
import { isIPv4 } from "node:net";
import { isPublicAddress } from "../dns/public-address.ts";
import type { LineFacts, PortFact, ProbedPort } from "./facts.ts";

/**
 * "full": mail from and to everybody. "https": port 25 is closed, so only relays that take mail by HTTPS are reached.
 * "local": nobody outside can reach a relay here, or it reaches nobody.
 */
export type Grade = "full" | "https" | "local";

/**
 * How IPv4 gets in. "direct": the address is this computer's. "router": a router translates; it has to forward. "shared":
 * the provider shares the address among customers (CGNAT, RFC 6598) or a second router is in front. "unknown": not told.
 */
export type Translation = "direct" | "router" | "shared" | "unknown";

export type LineFinding = Readonly<{ mark: "good" | "note" | "warning" | "bad"; text: string; mend: string }>;

export type LineVerdict = Readonly<{
  grade: Grade;
  translation: Translation;
  /** Addresses for the DNS records that hold for the whole line: the public IPv4 address, if it can be reached. */
  addresses: readonly string[];
  findings: readonly LineFinding[];
}>;

/** TLS, DKIM and ACME bear some minutes; more shows a clock that nobody sets. */
const CLOCK_WARNING_S = 60;
/** The packages, the build's cache and one image. */
export const NEEDED_BYTES = 3_000_000_000;

export function judgeLine(facts: LineFacts): LineVerdict {
  const translation = translationOf(facts);
  const grade = gradeOf(facts, translation);
  const { seen } = facts.ipv4;
  return {
    ...{ grade, translation },
    addresses: seen !== null && translation !== "shared" ? [seen] : [],
    findings: [
      ...wayIn(facts, translation),
      ...wayOut(facts),
      ...namesFindings(facts),
      ...reverseFindings(facts),
      ...computerFindings(facts),
    ],
  };
}

function translationOf({ ipv4: { local, seen }, routerAddress }: LineFacts): Translation {
  if (seen !== null && local === seen) return "direct";
  if (local !== null && isSharedAddress(local)) return "shared";
  if (routerAddress !== null && !isPublicAddress(routerAddress)) return "shared";
  if (seen === null) return "unknown";
  return routerAddress !== null && routerAddress !== seen ? "shared" : "router";
}

/** RFC 6598 §7: 100.64.0.0/10, between customers and a provider's translator. */
function isSharedAddress(address: string): boolean {
  const [first, second] = address.split(".").map(Number);
  return isIPv4(address) && first === 100 && (second ?? 0) >> 6 === 1;
}

const portFact = ({ ports }: LineFacts, wanted: ProbedPort): PortFact | undefined =>
  ports.find(({ port }) => port === wanted);
const isOpen = (facts: LineFacts, port: ProbedPort) => portFact(facts, port)?.state === "open";
const hasPublicIpv6 = ({ ipv6 }: LineFacts) => ipv6.seen !== null && isPublicAddress(ipv6.seen);

/** No address of the line leads to a relay on it, as far as is known. */
const isClosedIn = (facts: LineFacts, translation: Translation) =>
  !hasPublicIpv6(facts) && (translation === "shared" || facts.ipv4.local === null);

function gradeOf(facts: LineFacts, translation: Translation): Grade {
  if (!isOpen(facts, 443) || isClosedIn(facts, translation)) return "local";
  return isOpen(facts, 25) ? "full" : "https";
}

function wayIn(facts: LineFacts, translation: Translation): LineFinding[] {
  const { ipv4, ipv6, routerAddress } = facts;
  if (ipv4.local === null && ipv6.local === null) {
    return [{ mark: "bad", text: "This computer is connected to no network", mend: connectMend }];
  }
  const found: LineFinding[] = [];
  if (ipv4.local === null) {
    found.push({ mark: "warning", text: "This computer has no way out by IPv4", mend: noIpv4Mend });
  } else if (translation === "direct") {
    found.push({
      mark: "good",
      text: `The Internet sees this computer's own IPv4 address ${ipv4.local}`,
      mend: "",
    });
  } else if (translation === "router") {
    const text = `The Internet sees ${ipv4.seen}, the address of a router; this computer has ${ipv4.local} behind it`;
    const sure =
      routerAddress === null
        ? "The router does not say whether that address is its own; compare with its page about the Internet connection: with another address there, your provider shares this one among customers (CGNAT)."
        : "";
    found.push({ mark: "note", text, mend: sure });
  } else if (translation === "shared") {
    const inner = routerAddress ?? ipv4.local;
    const text = `The IPv4 address ${ipv4.seen ?? "that the Internet sees"} is not your router's own (it has ${inner}): your provider shares it among customers (CGNAT), or a second router is in front`;
    found.push({ mark: hasPublicIpv6(facts) ? "warning" : "bad", text, mend: sharedMend });
  } else {
    found.push({
      mark: "warning",
      text: `The line's IPv4 address is not known${ipv4.reason && `: ${ipv4.reason}`}`,
      mend: "Look at the router's page about the Internet connection.",
    });
  }
  if (hasPublicIpv6(facts)) {
    const mend =
      "The relay gets an IPv6 address of its own there and shows it on its screen; the router's firewall must let its ports in to it.";
    found.push({ mark: "good", text: `IPv6 works; the Internet sees ${ipv6.seen}`, mend });
  } else {
    const why = ipv6.local !== null && ipv6.reason !== "" ? `: ${ipv6.reason}` : "";
    found.push({
      mark: "note",
      text: `No way to the Internet by IPv6${why}`,
      mend: "A relay can do without it.",
    });
  }
  return found;
}

const connectMend =
  "Connect this computer to the line on which the relay will be, and run ./homing doctor again.";
const noIpv4Mend =
  "Most relays and phones' networks can reach a relay by IPv6 alone only in part; ask your provider for IPv4.";
const sharedMend =
  "Ask the provider for a public IPv4 address (often free, or a small fee), remove the second router or set it to bridge mode, or rent a small server for the relay.";

function wayOut(facts: LineFacts): LineFinding[] {
  const found: LineFinding[] = [];
  const smtp = portFact(facts, 25);
  if (isOpen(facts, 25)) {
    const only = smtp?.families.length === 1 ? ` by IPv${smtp.families[0]} alone` : "";
    const mend =
      only === ""
        ? ""
        : "Mail servers without that kind of address are reached by HTTPS only, if they are relays.";
    found.push({
      mark: only === "" ? "good" : "warning",
      text: `Mail servers can be reached (port 25)${only}`,
      mend,
    });
  } else if (smtp !== undefined && isOpen(facts, 443)) {
    const what = {
      closed: "is closed on the way out",
      intercepted: "is taken over by somebody on the way",
      unknown: "could not be tried",
    };
    found.push({
      mark: "warning",
      text: `Port 25 ${what[smtp.state as keyof typeof what]}`,
      mend: "Current chatmail relays are reached by HTTPS all the same. Not reached: older relays and all other mail servers. Many providers open the port on request (at home often in the customer's page).",
    });
  }
  const web = portFact(facts, 443);
  const isConnected = facts.ipv4.local !== null || facts.ipv6.local !== null;
  if (web !== undefined && web.state !== "open" && isConnected) {
    found.push({
      mark: "bad",
      text: `Nothing could be reached by HTTPS (port 443)${web.state === "intercepted" ? ", somebody on the way answers" : ""}`,
      mend:
        web.state === "intercepted"
          ? "Log in to this network first (hotel, school), see that the clock is right, or use another line."
          : connectMend,
    });
  }
  const mailPrograms = ([465, 587] as const).filter((port) =>
    ["closed", "intercepted"].includes(portFact(facts, port)?.state ?? ""),
  );
  if (mailPrograms.length > 0 && isOpen(facts, 443)) {
    found.push({
      mark: "note",
      text: `The ports by which mail programs send (${mailPrograms.join(", ")}) are closed on the way out`,
      mend: "The relay does not need them; Delta Chat on this line can send by port 443.",
    });
  }
  return found;
}

function namesFindings({ ipv4, ipv6, names, namesIntercepted }: LineFacts): LineFinding[] {
  const found: LineFinding[] = [];
  // Without a network that is no news.
  if (names === "none" && !(ipv4.local === null && ipv6.local === null)) {
    found.push({
      mark: "bad",
      text: "No names are found in the DNS",
      mend: "See that this computer is connected and has a resolver.",
    });
  } else if (names === "https") {
    const mend = "The relay asks the resolver that the router names; set one that works there.";
    found.push({
      mark: "warning",
      text: "This computer's resolver does not answer; names were found by HTTPS",
      mend,
    });
  }
  if (namesIntercepted) {
    found.push({
      mark: "warning",
      text: "Somebody on the way (router, provider or guest network) answers all questions to the DNS (port 53)",
      mend: "If it tells the truth, nothing has to be done; signed answers (DNSSEC) show.",
    });
  }
  return found;
}

function reverseFindings({ ipv4: { seen }, reverse }: LineFacts): LineFinding[] {
  if (seen === null) return [];
  const text =
    reverse === null ? `${seen} has no name in the DNS (reverse DNS)` : `The name of ${seen} is ${reverse}`;
  return [{ mark: "note", text, mend: "Relays do not look at it; some other mail servers do." }];
}

function computerFindings({ clockOffset, freeBytes }: LineFacts): LineFinding[] {
  const found: LineFinding[] = [];
  if (clockOffset !== null) {
    const size = Math.abs(Math.round(clockOffset));
    found.push(
      size > CLOCK_WARNING_S
        ? {
            mark: "warning",
            text: `This computer's clock is ${size} s ${clockOffset > 0 ? "fast" : "slow"}`,
            mend: "Let the system set it from the network: certificates and signatures depend on it.",
          }
        : { mark: "good", text: "This computer's clock is right", mend: "" },
    );
  }
  if (freeBytes !== null && freeBytes < NEEDED_BYTES) {
    found.push({
      mark: "warning",
      text: `Only ${(freeBytes / 1e9).toFixed(1)} GB are free here`,
      mend: `Building an image needs ${NEEDED_BYTES / 1e9} GB at most.`,
    });
  }
  return found;
}
