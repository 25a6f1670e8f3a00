/**
 * How others get in to a relay on a line, from what was found: by which address, and how sure that is. Pure; called by
 * grade.ts.
 */
import { isIPv4 } from "node:net";
import { isPublicAddress } from "../dns/public-address.ts";
import type { LineFacts } from "./facts.ts";
import { wayNames } from "./forwarder.ts";
import type { LineFinding } from "./grade.ts";

/**
 * How IPv4 gets in. "direct": the address is this computer's. "router": the router has it; it has to forward. "shared":
 * the provider shares the address among customers (CGNAT, RFC 6598) or a second router is in front. "tunnel": what was
 * seen is the other end of a VPN. "none": no IPv4. "unknown": nothing shows it.
 */
export type Translation = "direct" | "router" | "shared" | "tunnel" | "none" | "unknown";

/** Whether anybody outside gets in, once the router lets the ports in: "ipv6" by that alone. */
export type WayIn = "yes" | "ipv6" | "no" | "unknown";

export function translationOf({ ipv4, router, firstHopHasAddress }: LineFacts): Translation {
  const { local, seen } = ipv4;
  if (local === null) return "none";
  if (ipv4.tunnel !== null) return "tunnel";
  if (seen !== null && local === seen) return "direct";
  if (isSharedAddress(local)) return "shared";
  const outer = router?.outerAddress ?? null;
  if (outer !== null && !isPublicAddress(outer)) return "shared";
  if (seen === null) return "unknown";
  if (outer !== null) return outer === seen ? "router" : "shared";
  if (firstHopHasAddress === null) return "unknown";
  return firstHopHasAddress ? "router" : "shared";
}

/** RFC 6598 §7: 100.64.0.0/10, between customers and a provider's translator. */
function isSharedAddress(address: string): boolean {
  const [first, second] = address.split(".").map(Number);
  return isIPv4(address) && first === 100 && (second ?? 0) >> 6 === 1;
}

/** An address that a relay here would have the like of: public, this computer's own, and no VPN's. */
export const hasPublicIpv6 = ({ ipv6: { local, seen, tunnel } }: LineFacts) =>
  seen !== null && seen === local && tunnel === null && isPublicAddress(seen);

export function wayInOf(facts: LineFacts, translation: Translation): WayIn {
  if (facts.ipv4.local === null && facts.ipv6.local === null) return "unknown";
  if (translation === "direct" || translation === "router") return "yes";
  if (translation === "tunnel" || translation === "unknown") return "unknown";
  if (hasPublicIpv6(facts)) return "ipv6";
  // Whether IPv6 leads in through a VPN's side, or could not be asked, nothing shows.
  const isSilent = facts.ipv6.local !== null && facts.ipv6.seen === null;
  return facts.ipv6.tunnel !== null || isSilent ? "unknown" : "no";
}

export function wayInFindings(facts: LineFacts, translation: Translation): LineFinding[] {
  const { ipv4, ipv6 } = facts;
  if (ipv4.local === null && ipv6.local === null) {
    return [{ mark: "bad", text: "This computer is connected to no network", mend: connectMend }];
  }
  return [ipv4Finding(facts, translation), ...ipv6Findings(facts), ...forwardingFindings(facts, translation)];
}

function ipv4Finding(facts: LineFacts, translation: Translation): LineFinding {
  const { ipv4, router } = facts;
  const seen = ipv4.seen ?? "an address that is not known";
  switch (translation) {
    case "none":
      return { mark: "warning", text: "This computer has no way out by IPv4", mend: noIpv4Mend };
    case "tunnel":
      return {
        mark: "warning",
        text: `This computer goes out through ${ipv4.tunnel}, a VPN or a modem of its own: the Internet sees ${seen} by it, and what is said here is about that way`,
        mend: "Switch the VPN off, or connect this computer to the line on which the relay will be, and run ./homing doctor again.",
      };
    case "direct":
      return { mark: "good", text: `The Internet sees this computer's own IPv4 address ${seen}`, mend: "" };
    case "router":
      return {
        mark: "good",
        text: `The Internet sees ${seen}, which is the router's own address; this computer has ${ipv4.local} behind it`,
        mend: "",
      };
    case "shared": {
      const inner = router?.outerAddress ?? null;
      const has = inner === null ? "" : ` (it has ${inner})`;
      const text = `The IPv4 address that the Internet sees (${ipv4.seen ?? "not told"}) is not the router's own${has}: the provider shares it among customers (CGNAT), or a second router is in front`;
      return { mark: hasPublicIpv6(facts) ? "warning" : "bad", text, mend: sharedMend };
    }
    case "unknown":
      return ipv4.seen === null
        ? {
            mark: "warning",
            text: `The line's IPv4 address is not known${ipv4.reason && `: ${ipv4.reason}`}`,
            mend: lookMend,
          }
        : {
            mark: "warning",
            text: `Whether anybody gets in by IPv4 is not known: the Internet sees ${seen}, this computer has ${ipv4.local}, and the router does not tell whether that address is its own`,
            mend: `${lookMend} With ${seen} there, forwarding works; with another one, the provider shares the address among customers (CGNAT), and nobody gets in by IPv4.`,
          };
  }
}

function ipv6Findings(facts: LineFacts): LineFinding[] {
  const { ipv6 } = facts;
  if (hasPublicIpv6(facts)) {
    const mend =
      "The relay gets an IPv6 address of its own there and shows it on its screen; the router's firewall must let its ports in to it.";
    return [{ mark: "good", text: `IPv6 works; the Internet sees ${ipv6.seen}`, mend }];
  }
  if (ipv6.seen !== null) {
    const why = ipv6.tunnel === null ? `this computer has ${ipv6.local}` : `through ${ipv6.tunnel}`;
    const text = `By IPv6 the Internet sees ${ipv6.seen}, which nothing on this line has of its own (${why})`;
    return [{ mark: "note", text, mend: "A relay can do without IPv6." }];
  }
  const why = ipv6.local !== null && ipv6.reason !== "" ? `: ${ipv6.reason}` : "";
  return [{ mark: "note", text: `No way to the Internet by IPv6${why}`, mend: "A relay can do without it." }];
}

/** What the router offers, where that helps. */
export function forwardingFindings(
  { router, callPorts }: LineFacts,
  translation: Translation,
): LineFinding[] {
  if (router === null || router.forwarding.length === 0) return [];
  if (translation !== "router" && translation !== "unknown") return [];
  return [
    {
      mark: "note",
      text: `The router at ${router.address} forwards ports when a program asks (${router.forwarding.map((way) => wayNames[way]).join(", ")})`,
      mend: `“./homing doctor${callPorts === null ? "" : " FOLDER"} --map --to ADDRESS” asks it, with the relay's local address.`,
    },
  ];
}

export const connectMend =
  "Connect this computer to the line on which the relay will be, and run ./homing doctor again.";
const lookMend =
  "Look at the router's page about the Internet connection (WAN, status) for its IPv4 address.";
const noIpv4Mend =
  "By IPv6 alone, many relays and telephones do not reach a relay; ask the provider for IPv4.";
const sharedMend =
  "Ask the provider for a public IPv4 address (often free, or a small fee), remove the second router or set it to bridge mode, or rent a small server for the relay. In a virtual machine or container, run ./homing doctor on the computer itself.";
