/**
 * The report of a check as people read it: a line for each record, then what else was found, each with its mend. Pure;
 * called by the command. Colours only where asked for.
 */

import type { Painter } from "./painter.ts";
import { type DnsReport, outlookOf, type RecordReport } from "./report.ts";

const marks: Readonly<Record<RecordReport["state"], string>> = {
  ok: "OK",
  unknown: "UNKNOWN",
  differs: "DIFFERS",
  missing: "MISSING",
  conflicts: "CONFLICT",
};
const MARK_WIDTH = 8;
const paths: Readonly<Record<Exclude<DnsReport["path"], "none">, string>> = {
  servers: "each name server itself",
  https: "a resolver by HTTPS",
  resolver: "this computer's resolver",
};
/** Longer values are cut: they are there to be recognized. */
const MAX_FOUND_LENGTH = 60;

export function reportText(report: DnsReport, painter: Painter): string {
  const { domain, zone, path, records, findings } = report;
  if (path === "none") return unansweredText(report, painter);
  const heading = zone === null ? `${domain} has no zone` : `${domain}, zone ${zone}: asked ${paths[path]}`;
  const servers = report.servers.map(({ server, address, state, reason, serial }) => {
    const version = serial === null ? "" : `, version ${serial}`;
    return `  ${server}${address === "" ? "" : ` ${address}`}: ${state === "answers" ? `answers${version}` : reason}`;
  });
  const asked = report.asked.length === 0 ? [] : [`  Outside services asked: ${report.asked.join(", ")}`];
  return [
    heading,
    ...servers,
    ...asked,
    "",
    ...records.flatMap((record) => recordLines(record, painter)),
    ...(findings.length === 0 ? [] : [""]),
    ...findingLines(findings, painter),
    "",
    verdict(report, painter),
    "",
  ].join("\n");
}

/** Of records that nobody was asked for there is nothing to say. */
function unansweredText({ domain, findings }: DnsReport, painter: Painter): string {
  const open = painter.bad(`Whether mail for ${domain} will work is not known.`);
  return [...findingLines(findings, painter), "", open, ""].join("\n");
}

function findingLines(findings: DnsReport["findings"], painter: Painter): string[] {
  return findings.flatMap(({ severity, text, mend }) => [
    `${severity === "error" ? painter.bad("Error:") : painter.mind("Warning:")} ${text}.`,
    `  → ${mend}`,
  ]);
}

function recordLines(record: RecordReport, painter: Painter): string[] {
  const { state, severity, name, type, purpose, reason, mend, found } = record;
  const paint = severity === "error" ? painter.bad : severity === "warning" ? painter.mind : painter.good;
  const first = `${paint(marks[state].padEnd(MARK_WIDTH))} ${name} ${type} (${record.need}): ${purpose}`;
  const says = reason === "" ? [] : [`${" ".repeat(MARK_WIDTH)}   ${reason}`];
  const shown =
    state === "ok" || found.length === 0
      ? []
      : [`${" ".repeat(MARK_WIDTH)}   found: ${cut(found.join(", "))}`];
  const mends = mend === "" ? [] : [`${" ".repeat(MARK_WIDTH)} → ${mend}`];
  return [first, ...says, ...shown, ...mends];
}

function cut(text: string): string {
  return text.length <= MAX_FOUND_LENGTH ? text : `${text.slice(0, MAX_FOUND_LENGTH - 1)}…`;
}

function verdict(report: DnsReport, painter: Painter): string {
  const all = [...report.records, ...report.findings];
  const count = (severity: RecordReport["severity"]) =>
    all.filter((each) => each.severity === severity).length;
  const things = (number: number, word: string) => `${number} ${word}${number === 1 ? "" : "s"}`;
  const errors = count("error");
  const outlook = outlookOf(report);
  if (outlook === "not known")
    return painter.bad(`Whether mail will work is not known: ${things(errors, "open question")}.`);
  if (outlook === "not yet") return painter.bad(`Mail will not work yet: ${things(errors, "error")}.`);
  const warnings = count("warning");
  return painter.good(`Mail will work${warnings === 0 ? "" : `, with ${things(warnings, "warning")}`}.`);
}
