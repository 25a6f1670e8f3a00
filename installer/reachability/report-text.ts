/**
 * What ./homing doctor prints: the grade and what it means, each finding with its mend, what to set in the router, and
 * who was asked. Pure; called by commands/doctor.ts and, in part, by the wizard.
 */
import { ports } from "../../appliance/layout.ts";
import type { Painter } from "../dns/painter.ts";
import type { Grade, LineFinding, Translation } from "./grade.ts";
import type { LineReport } from "./look.ts";

export const gradeWords: Readonly<Record<Grade, string>> = {
  full: "full: mail from and to everybody, once the relay's ports are let in",
  https:
    "HTTPS-only federation: current relays are reached, other mail servers are not (port 25 does not lead out)",
  local: "local only: from outside nobody would reach a relay here, or it would reach nobody",
};

/** TCP ports that have to come in, lowest first. */
const portList = Object.values(ports)
  .sort((a, b) => a - b)
  .join(", ");

/** What the owner sets in the router; none where nothing has to be set. */
export function routerSteps({ facts, translation }: LineReport): string[] {
  const steps: Partial<Record<Translation, string>> = {
    direct: `Let the TCP ports ${portList} in, in the firewall of the computer or of the provider.`,
    router: `In the router (“port forwarding”, “virtual server”, “NAT”), forward the TCP ports ${portList}, each to the same port of the relay. Give the relay a fixed local address first (“DHCP reservation”); it shows its address on its screen${neighbour(facts.ipv4.local)}. A relay that runs as a virtual machine needs a bridged network to have one.`,
  };
  const step = steps[translation];
  const ipv6 =
    facts.ipv6.seen === null
      ? []
      : [`In the router's IPv6 firewall, let the TCP ports ${portList} in to the relay's IPv6 address.`];
  return [...(step === undefined ? [] : [step]), ...ipv6];
}

const neighbour = (local: string | null) =>
  local === null ? "" : `, one of the same network as this computer's ${local}`;

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
  const grades = { full: painter.good, https: painter.mind, local: painter.bad };
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
    "Whether the ports come in can be seen only from outside, when the relay runs.",
    `Asked: ${facts.asked.join(", ")}`,
    "",
  ].join("\n");
}
