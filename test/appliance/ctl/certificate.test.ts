/** What `homing-ctl certificate` shows of texts that an authority wrote, on a terminal and for programs. */
import { expect, it } from "vitest";
import type { CertificateReport } from "../../../appliance/certificate-report.ts";
import { type CtlIo, writeJson } from "../../../appliance/ctl/command.ts";
import { certificateText } from "../../../appliance/ctl/commands/certificate.ts";

/** Control sequences by ESC, by C1, a new line, and letters that run backwards. */
const hostile = "https://a.test/acct/1\u001b[2J\u009b31m\r\nCertified until 2099\u202e\u007f";
const report: CertificateReport = {
  ...{ authority: "https://a.test/dir", account: hostile, names: ["c.test"], notAfter: 1.8e12 },
  ...{ renewAt: null, failures: 1, refused: { "www.c.test": hostile }, problem: hostile, nextLook: 1.8e12 },
};
const obeyed = /[\p{Cc}\p{Cf}]/u;

it("gives a terminal nothing to obey, and no line of its own", () => {
  const lines = certificateText(report).split("\n");
  expect(lines.filter((line) => obeyed.test(line))).toEqual([]);
  expect(lines.filter((line) => line.startsWith("Certified until"))).toHaveLength(1);
  expect(lines.at(-2)).toContain("https://a.test/acct/1�[2J�31m��Certified until 2099");
});

it("gives programs the same text, escaped", () => {
  let written = "";
  const stdout = { write: (text: string) => (written += text) };
  writeJson({ stdout } as unknown as CtlIo, { ...report, tag: "\u{e0041}" });
  expect(obeyed.test(written.replace(/\n$/, ""))).toBe(false);
  expect(JSON.parse(written)).toEqual({ ...report, tag: "\u{e0041}" });
});
