/**
 * Tells how it went: a sentence for the status page (appliance/life/status.ts), figures for Prometheus, and when to
 * look again for the script that starts this service. Called by look.ts at the end of every look.
 */
import { chmod, rename, rm, writeFile } from "node:fs/promises";
import type { CertificateChain } from "../../appliance/certificate-chain.ts";
import type { CertificateReport } from "../../appliance/certificate-report.ts";
import { readIfPresent } from "../../appliance/life/disk.ts";
import { createCounters } from "../lib/counters.ts";
import type { Log } from "../lib/log.ts";
import type { CertificateState } from "./state.ts";

export type ReportPaths = Readonly<{
  next: string;
  problem: string;
  refused: string;
  report: string;
  metrics: string;
}>;

export type Report = Readonly<{
  state: CertificateState;
  chain: CertificateChain | undefined;
  /** For the owner; undefined while all is well. */
  problem: string | undefined;
  /** In milliseconds since 1970. */
  nextLook: number;
  renewAt: number | undefined;
}>;

export async function writeReport(paths: ReportPaths, report: Report, log: Log): Promise<void> {
  const { problem, chain, nextLook } = report;
  if (problem === undefined) await rm(paths.problem, { force: true });
  else await replaceIfOther(paths.problem, `${problem}${presentText(chain)}\n`);
  const refused = Object.values(report.state.refused).map(({ text }) => `${text}\n`);
  if (refused.length === 0) await rm(paths.refused, { force: true });
  else await replaceIfOther(paths.refused, refused.join(""));
  await replace(paths.report, `${JSON.stringify(forOperator(report))}\n`);
  await replace(paths.next, `${Math.ceil(nextLook / 1000)}\n`);
  await writeCounters(paths.metrics, report, log);
}

function forOperator({ state, chain, problem, nextLook, renewAt }: Report): CertificateReport {
  const vouched = chain === undefined || chain.isSelfSigned ? undefined : chain;
  const names = (vouched?.leaf.subjectAltName ?? "").split(", ").map((name) => name.replace(/^[^:]*:/, ""));
  return {
    authority: state.directory,
    account: state.account?.url ?? null,
    names: names.filter((name) => name !== ""),
    notAfter: vouched?.notAfter.getTime() ?? null,
    renewAt: renewAt ?? null,
    failures: state.failure?.count ?? 0,
    refused: Object.fromEntries(Object.entries(state.refused).map(([name, { text }]) => [name, text])),
    problem: problem ?? null,
    nextLook,
  };
}

/** What clients see in the meantime. */
function presentText(chain: CertificateChain | undefined): string {
  if (chain === undefined || chain.isSelfSigned) {
    return " Until then the relay shows a self-signed certificate, which Delta Chat does not accept.";
  }
  return ` The present certificate is valid until ${chain.notAfter.toISOString().slice(0, 10)}.`;
}

/** The same text stays the same file, by which `look` knows that the page is as it was (appliance/files/status.ts). */
async function replaceIfOther(path: string, content: string): Promise<void> {
  if ((await readIfPresent(path))?.toString() !== content) await replace(path, content);
}

/** Nothing here has to outlive a power cut. */
async function replace(path: string, content: string): Promise<void> {
  const aside = `${path}.new`;
  await writeFile(aside, content);
  // The service's umask hides its files from others.
  await chmod(aside, 0o644);
  await rename(aside, path);
}

async function writeCounters(path: string, { state, chain, renewAt }: Report, log: Log): Promise<void> {
  const counters = createCounters({ path, log });
  const { totals, failure } = state;
  counters
    .counter("homing_certificates_issued_total", "Certificates got from the authority.")
    .add({}, totals.issued);
  counters.counter("homing_certificate_failures_total", "Attempts that failed.").add({}, totals.failed);
  counters
    .gauge("homing_certificate_failures_in_a_row", "Failed attempts since the last success.")
    .set(failure?.count ?? 0);
  const vouched = chain !== undefined && !chain.isSelfSigned;
  counters
    .gauge(
      "homing_certificate_from_authority",
      "1 when the certificate in use is an authority's, 0 when self-signed.",
    )
    .set(vouched ? 1 : 0);
  if (renewAt !== undefined) {
    counters
      .gauge("homing_certificate_renewal_seconds", "Planned renewal, in seconds since 1970.")
      .set(Math.floor(renewAt / 1000));
  }
  await counters.close();
}
