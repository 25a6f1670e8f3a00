import { describe, expect, it } from "vitest";
import type { CanaryStep, CanaryVerdict } from "../../../appliance/canary.ts";
import { statusText } from "../../../appliance/ctl/commands/status.ts";
import { type Seen, statusChecks } from "../../../appliance/ctl/status-checks.ts";
import { emptyReport } from "../../../appliance/reaper-report.ts";

const step = (name: CanaryStep["name"], seconds: number, detail: string): CanaryStep => {
  return { name, ok: true, seconds, detail, mend: null };
};
const canary: CanaryVerdict = {
  ...{ time: 1_000_000, ok: true, works: true },
  steps: [
    step("login", 0.1, "logged in"),
    step("submission", 0.05, "taken"),
    step("delivery", 0.2, "seen"),
    step("content", 0.1, "decrypted"),
    step("removal", 0.1, "deleted"),
    step("port-443", 0.1, "answers as imap, smtp, http/1.1"),
    step("certificate", 0, "valid for 80 more days"),
    step("dns", 0.1, "A 192.0.2.5 leads here"),
    step("clock", 0, "set by a time server"),
    step("disk", 0, "12.0 GB of 29.0 GB free"),
  ],
};
const fine: Seen = {
  facts: {
    ...{ isReady: true, isHealthy: true, findings: [], domain: "chat.example.org", signUp: "open" },
    ...{ addresses: ["192.0.2.5"], units: 12 },
  },
  canary,
  queued: 0,
  ...{ expiry: undefined, lastExpiry: 1_000_000 - 4 * 3600 },
  disk: { free: 12e9, size: 29e9 },
};
const now = canary.time + 240;
const failing = (name: CanaryStep["name"]): CanaryVerdict => ({
  ...{ ...canary, ok: false, works: false },
  steps: canary.steps.map((one) =>
    one.name === name ? { ...one, ok: false, detail: `${name} is wrong`, mend: `mend ${name}` } : one,
  ),
});
const text = (seen: Seen, at = now) => statusText(seen.facts.domain, statusChecks(seen, at));

describe("homing-ctl status", () => {
  it("says in one screen that all is well", () => {
    expect(text(fine)).toBe(
      [
        "chat.example.org works.",
        "",
        "  ok     network      192.0.2.5",
        "  ok     services     all 12 run",
        "  ok     mail         a message to itself was sent, delivered and read in 0.25 s, 4 min ago",
        "  ok     port 443     answers as imap, smtp, http/1.1",
        "  ok     certificate  valid for 80 more days",
        "  ok     DNS          A 192.0.2.5 leads here",
        "  ok     clock        set by a time server",
        "  ok     disk         12.0 GB of 29.0 GB free",
        "  ok     queue        no message waits",
        "  ok     expiry       last done 4 h ago",
        "",
      ].join("\n"),
    );
  });

  it.each([
    ["submission", "mail"],
    ["dns", "DNS"],
    ["certificate", "certificate"],
  ] as const)("says what is wrong with the canary's %s, and what to do", (name, row) => {
    const lines = text({ ...fine, canary: failing(name) }).split("\n");
    expect(lines[0]).toBe("chat.example.org needs attention.");
    const at = lines.findIndex((line) => line.startsWith(`  WRONG  ${row} `));
    expect(lines[at]).toContain(`${name} is wrong`);
    expect(lines[at + 1]?.trim()).toBe(`→ mend ${name}`);
  });

  it("shows what the relay judges by itself, each thing once", () => {
    const findings = [
      { about: "unit homing-milter.service", lines: ["homing-milter.service (mail policy) is failed"] },
      { about: "certificate", lines: ["certificate: Forward port 80.", "It waits."] },
      { about: "disk-full", lines: ["the disk is full: mail is refused"] },
      { about: "import", lines: ["NOT TAKEN OVER"] },
      { about: "metadata", lines: ["mail goes on, but: damaged"] },
      { about: "turn", lines: ["calls get no help"] },
    ];
    const checks = statusChecks(
      { ...fine, canary: failing("certificate"), facts: { ...fine.facts, findings } },
      now,
    );
    expect(checks.filter(({ ok }) => !ok).map(({ name, text: said }) => `${name}: ${said}`)).toEqual([
      "services: homing-milter.service (mail policy) is failed",
      "certificate: Forward port 80. It waits.",
      "disk: the disk is full: mail is refused",
      "settings: NOT TAKEN OVER",
      "push: mail goes on, but: damaged",
      "calls: calls get no help",
    ]);
  });

  it("asks for attention when the canary does not come any more, and for none before it came first", () => {
    const findings = [{ about: "canary-old", lines: ["the canary has told nothing for half an hour"] }];
    expect(text({ ...fine, facts: { ...fine.facts, findings } }, canary.time + 1_801)).toMatch(
      /^chat\.example\.org needs attention[\s\S]*WRONG {2}canary/,
    );
    expect(text({ ...fine, canary: undefined })).toMatch(
      /^chat\.example\.org works\.[\s\S]*mail +not tried yet/,
    );
  });

  it("tells what went by its age, and why nothing does", () => {
    const report = { ...emptyReport(false), time: now - 7200 };
    report.removed.age.messages = 5;
    expect(text({ ...fine, expiry: report })).toContain(
      "  ok     expiry       5 messages and 0 accounts went 2 h ago\n",
    );
    expect(text({ ...fine, expiry: { ...report, failures: 1 } })).toContain("1 failed");
    const refused = { ...report, refusal: "the clock is not set" };
    expect(text({ ...fine, expiry: refused })).toContain(
      "ok     expiry       nothing goes by its age today: the clock is not set",
    );
  });

  it("says when the last deletion was, and asks for attention when it is dead", () => {
    expect(text({ ...fine, lastExpiry: undefined })).toContain(
      "  ok     expiry       not done yet: comes by itself within an hour\n",
    );
    expect(text({ ...fine, lastExpiry: now - 80 * 3600 })).toContain(
      "  ok     expiry       last done 80 h ago\n",
    );
  });

  it.each([
    { about: "reaper-old", line: "nothing old was deleted for three days, or ever" },
    // As after a daily run that did all, when there was no room between two.
    { about: "reaper-failed", line: "what is old could not be deleted everywhere" },
  ])(
    "asks for attention when the status page tells of $about, whatever the last report says",
    ({ about, line }) => {
      const findings = [{ about, lines: [line] }];
      const expiry = { ...emptyReport(false), time: now };
      const said = text({ ...fine, expiry, facts: { ...fine.facts, findings } });
      expect(said.match(/^.* expiry .*$/gm)).toEqual([`  WRONG  expiry       ${line}`]);
    },
  );

  it("says of a device that is no relay only why", () => {
    const findings = [{ about: "settings", lines: ["mail is off: there is no relay"] }];
    const facts = { ...fine.facts, domain: null, signUp: null, isReady: false, findings };
    expect(text({ ...fine, facts, canary: undefined })).toMatch(/^This device needs attention/);
  });
});
