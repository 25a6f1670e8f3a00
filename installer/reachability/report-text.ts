/**
 * What ./homing doctor prints: the grade and what it means, each finding with its mend, what to set in the router, and
 * who was asked. Pure; called by commands/doctor.ts and, in part, by the wizard.
 */
import type { Painter } from "../dns/painter.ts";
import type { LineFacts } from "./facts.ts";
import type { Grade, LineFinding } from "./grade.ts";
import type { LineReport } from "./look.ts";
import { type CallPorts, portWords } from "./relay-ports.ts";
import { hasPublicIpv6 } from "./way-in.ts";

export const gradeWords: Readonly<Record<Grade, string>> = {
  full: "full: mail from and to everybody, once the relay's ports are let in",
  https:
    "HTTPS-only federation: current relays are reached, other mail servers are not all (port 25 does not lead out)",
  ipv6: "IPv6 alone: whoever has no IPv6, and many relays and telephones have none, does not reach a relay here",
  local: "local only: from outside nobody would reach a relay here, or it would reach nobody",
  unknown: "unknown: nothing shows whether a relay here could be reached; below is how to find out",
};

/** What the owner sets in the router; none where nothing has to be set, or nothing would help. */
export function routerSteps({ facts, translation }: LineReport): string[] {
  const { local } = facts.ipv4;
  const words = portWords(facts.callPorts);
  const condition =
    translation === "unknown" ? "If the router has the address that the Internet sees: in" : "In";
  const steps: string[] = [];
  if (translation === "direct") {
    steps.push(`Let the ${words} in, in the firewall of the computer or of the provider.`);
  } else if (local !== null && (translation === "router" || translation === "unknown")) {
    steps.push(`${condition} ${forwardingSteps("the relay", { calls: facts.callPorts, hint: hint(local) })}`);
  }
  if (hasPublicIpv6(facts)) {
    steps.push(`In the router's IPv6 firewall, let the ${words} in to the relay's IPv6 address.`);
  }
  return steps;
}

/** Goes on behind “In”. */
export const forwardingSteps = (
  device: string,
  { calls, hint }: Readonly<{ calls: CallPorts | null; hint: string }>,
) =>
  `the router (“port forwarding”, “virtual server”, “NAT”), forward the ${portWords(calls)}, each to the same port of ${device}. Give it a fixed local address first (“DHCP reservation”)${hint}. A relay that runs as a virtual machine needs a bridged network to have one.`;

/** Nobody outside is asked to knock: services that do so see which address wants to run a server. */
export const lookFromOutside =
  "Whether the ports come in can be seen only from outside, and nobody there is asked. When the relay runs: open its page on a telephone without Wi-Fi (port 443), and write to it from an account elsewhere. From inside the line a failure shows nothing, for many routers do not lead back to themselves.";

const hint = (local: string) =>
  `; it shows its address on its screen, one of the same network as this computer's ${local}`;

const marks: Readonly<Record<LineFinding["mark"], string>> = {
  good: "OK",
  note: "NOTE",
  warning: "WARNING",
  bad: "PROBLEM",
};
const MARK_WIDTH = 8;

export function reportText(report: LineReport, painter: Painter): string {
  const { grade, findings, facts } = report;
  const paints = {
    good: painter.good,
    note: (text: string) => text,
    warning: painter.mind,
    bad: painter.bad,
  };
  const grades = {
    ...{ full: painter.good, https: painter.mind, ipv6: painter.mind },
    ...{ local: painter.bad, unknown: painter.mind },
  };
  const steps = routerSteps(report);
  return [
    `This line is graded ${grades[grade](gradeWords[grade])}.`,
    "",
    ...findings.flatMap(({ mark, text, mend }) => [
      `${paints[mark](marks[mark].padEnd(MARK_WIDTH))} ${text}.`,
      ...(mend === "" ? [] : [`${" ".repeat(MARK_WIDTH)} → ${mend}`]),
    ]),
    ...(steps.length === 0 ? [] : ["", "For the relay:", ...steps.map((step) => `  ${step}`)]),
    "",
    ...(steps.length === 0 ? [] : [lookFromOutside]),
    `Asked: ${[...facts.asked, ...askedInside(facts)].join(", ")}`,
    "",
  ].join("\n");
}

const askedInside = ({ router }: LineFacts) =>
  router === null ? [] : [`the router at ${router.address} (NAT-PMP, PCP, UPnP)`];
