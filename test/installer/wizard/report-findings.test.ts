/** A check of the DNS as the wizard shows it (installer/wizard/report-findings.ts). */
import { expect, it } from "vitest";
import type { DnsReport } from "../../../installer/dns/report.ts";
import { findingsOf } from "../../../installer/wizard/report-findings.ts";

const domain = "chat.rosegarden.net";
const record = (name: string, more: Partial<DnsReport["records"][number]>): DnsReport["records"][number] => ({
  ...{ name, type: "A", need: "required", purpose: "", state: "ok", severity: "none", wanted: [], found: [] },
  ...{ reason: "", mend: "", ...more },
});
const report = (more: Partial<DnsReport>): DnsReport => ({
  ...{
    domain,
    zone: "rosegarden.net",
    nameServers: [],
    path: "servers",
    asked: [],
    servers: [],
    dnssec: "unsigned",
  },
  ...{ records: [], findings: [], works: true, ...more },
});

it("says in one line that all is well", () => {
  const good = report({ records: [record(domain, {})] });
  expect(findingsOf(good, domain)).toEqual([
    { mark: "good", text: expect.stringContaining("mail will work") },
  ]);
});

it("names what keeps mail from working before all else, each with its mend", () => {
  const bad = report({
    works: false,
    findings: [{ severity: "warning", code: "wildcard", text: "there is a wildcard", mend: "Remove it." }],
    records: [record(domain, { state: "missing", severity: "error", mend: "Add it." })],
  });
  expect(findingsOf(bad, domain)).toEqual([
    { mark: "bad", text: expect.stringContaining("will not work yet") },
    { mark: "bad", text: `${domain} A is missing. Add it.` },
    { mark: "warning", text: "there is a wildcard. Remove it." },
  ]);
});

it("does not say that mail will not work where nobody answered", () => {
  const silent = report({
    works: false,
    records: [record(domain, { state: "unknown", severity: "error", mend: "Try again." })],
  });
  expect(findingsOf(silent, domain)[0]).toEqual({
    mark: "warning",
    text: expect.stringContaining("is not known"),
  });
});

it("says nothing of records where the DNS could not be asked", () => {
  const unasked = report({
    ...{ path: "none", zone: null, works: false },
    findings: [{ severity: "error", code: "no-dns", text: "nobody answers", mend: "Connect it." }],
    records: [record(domain, { state: "unknown", severity: "error" })],
  });
  expect(findingsOf(unasked, domain)).toEqual([
    { mark: "warning", text: expect.stringContaining("is not known") },
    { mark: "bad", text: "nobody answers. Connect it." },
  ]);
});

it("leaves what no screen has room for to the command", () => {
  const many = Array.from({ length: 14 }, (_, index) =>
    record(`x${index}`, { state: "differs", severity: "warning" }),
  );
  const found = findingsOf(report({ records: many }), "my relay");
  expect(found.length).toBe(10);
  expect(found.at(-1)!.text).toContain("And 6 more: ./homing dns check 'my relay'");
});
