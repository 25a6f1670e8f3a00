/**
 * Looks at the line for the wizard, and tells it in a screen's length: the grade, what stands in the way, whom it asked.
 * Called by installer/wizard/real-effects.ts.
 */
import { realWorld } from "../dns/world.ts";
import type { Grade } from "./grade.ts";
import { type LineWorld, usualLineWorld } from "./line-world.ts";
import { type LineReport, lookAtLine } from "./look.ts";
import { gradeWords, routerSteps } from "./report-text.ts";
import { forwardingFindings } from "./way-in.ts";

type Finding = Readonly<{ mark: "good" | "note" | "warning" | "bad"; text: string }>;
type ForWizard = Readonly<{
  addresses: readonly string[];
  findings: readonly Finding[];
  steps: readonly string[];
}>;

/** Throws the signal's reason. */
export async function lookForWizard(
  line: LineWorld | undefined,
  directory: string,
  signal: AbortSignal,
): Promise<ForWizard> {
  return wizardFindings(
    await lookAtLine(
      line ?? usualLineWorld(realWorld()),
      { directory, domain: null, callPorts: null },
      signal,
    ),
  );
}

const gradeMarks: Readonly<Record<Grade, Finding["mark"]>> = {
  full: "good",
  https: "warning",
  ipv6: "warning",
  local: "bad",
  unknown: "warning",
};

/** Its report may be taken where the relay will not be: so nothing of it stops the wizard. */
export function wizardFindings(report: LineReport): ForWizard {
  const { grade, translation, addresses, findings, facts } = report;
  const worries = findings.filter(({ mark }) => mark === "bad" || mark === "warning");
  const told = [...worries, ...forwardingFindings(facts, translation)];
  const asked = facts.asked.length === 0 ? "nobody" : facts.asked.join(", ");
  return {
    addresses,
    steps: routerSteps(report),
    findings: [
      { mark: gradeMarks[grade], text: `This line is graded ${gradeWords[grade]}.` },
      ...told.map(({ mark, text, mend }) => ({ mark, text: `${text}. ${mend}`.trim() })),
      { mark: "note", text: `./homing doctor tells more. Asked: ${asked}.` },
    ],
  };
}
