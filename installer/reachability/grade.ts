/**
 * Judges a line to the Internet: what a relay behind it could do, what stands in its way, and what would improve it.
 * Pure; called by look.ts. What comes in cannot be tried from inside the line: the grade says what is possible once
 * the router lets the relay's ports in, and "unknown" where nothing shows that it is.
 */
import type { LineFacts, PortFact, ProbedPort } from "./facts.ts";
import { connectMend, type Translation, translationOf, wayInFindings, wayInOf } from "./way-in.ts";

/**
 * "full": mail from and to everybody. "https": port 25 is closed, so only relays that take mail by HTTPS are reached.
 * "ipv6": nobody without IPv6 gets in. "local": nobody outside can reach a relay here, or it reaches nobody. "unknown":
 * whether anybody gets in does not show.
 */
export type Grade = "full" | "https" | "ipv6" | "local" | "unknown";

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
    addresses: seen !== null && translation !== "shared" && translation !== "tunnel" ? [seen] : [],
    findings: [
      ...wayInFindings(facts, translation),
      ...wayOut(facts),
      ...namesFindings(facts),
      ...domainFindings(facts, translation),
      ...reverseFindings(facts),
      ...computerFindings(facts),
    ],
  };
}

const portFact = ({ ports }: LineFacts, wanted: ProbedPort): PortFact | undefined =>
  ports.find(({ port }) => port === wanted);
const isOpen = (facts: LineFacts, port: ProbedPort) => portFact(facts, port)?.state === "open";

function gradeOf(facts: LineFacts, translation: Translation): Grade {
  if (facts.ipv4.local === null && facts.ipv6.local === null) return "unknown";
  const web = portFact(facts, 443)?.state ?? "unknown";
  if (web === "closed" || web === "intercepted") return "local";
  const wayIn = wayInOf(facts, translation);
  if (wayIn === "no") return "local";
  if (wayIn === "unknown" || web === "unknown") return "unknown";
  if (wayIn === "ipv6") return "ipv6";
  // Some providers close port 25 of IPv4 alone, by which most mail servers are reached.
  return isOpen(facts, 25) && portFact(facts, 25)?.families.includes(4) ? "full" : "https";
}

const openPort25Mend = "Many providers open the port on request (at home often in the customer's page).";

function wayOut(facts: LineFacts): LineFinding[] {
  const found: LineFinding[] = [];
  const smtp = portFact(facts, 25);
  if (isOpen(facts, 25)) {
    const isIpv6Alone = smtp?.families.includes(4) === false && facts.ipv4.local !== null;
    found.push(
      isIpv6Alone
        ? {
            mark: "warning",
            text: "Mail servers can be reached (port 25) by IPv6 alone",
            mend: `Mail servers without IPv6, which are many, are not reached. ${openPort25Mend}`,
          }
        : { mark: "good", text: "Mail servers can be reached (port 25)", mend: "" },
    );
  } else if (smtp !== undefined && isOpen(facts, 443)) {
    const what = {
      closed: "is closed on the way out",
      intercepted: "is taken over by somebody on the way",
      unknown: "could not be tried",
    };
    found.push({
      mark: "warning",
      text: `Port 25 ${what[smtp.state as keyof typeof what]}`,
      mend: `Current chatmail relays are reached by HTTPS all the same. Not reached: older relays and all other mail servers. ${openPort25Mend}`,
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

function domainFindings({ domain, ipv4: { seen } }: LineFacts, translation: Translation): LineFinding[] {
  if (domain === null || domain.addresses === null) return [];
  const { name, addresses } = domain;
  if (addresses.length === 0) {
    const mend = "./homing dns plan shows what is to be published, ./homing dns apply publishes it.";
    return [{ mark: "note", text: `${name} has no address in the DNS yet`, mend }];
  }
  const isKnown = seen !== null && (translation === "direct" || translation === "router");
  if (!isKnown) return [];
  if (addresses.includes(seen))
    return [{ mark: "good", text: `${name} leads to this line (${seen})`, mend: "" }];
  return [
    {
      mark: "warning",
      text: `${name} leads to ${addresses.join(", ")} by the DNS, not to this line (${seen})`,
      mend: "If the relay will be on this line, ./homing dns apply publishes its address; otherwise run ./homing doctor where it will be.",
    },
  ];
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
