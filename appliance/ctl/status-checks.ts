/**
 * Puts what is known of the relay in rows: its own judgement (life/judgement.ts), what the canary saw, and some figures.
 * Called by commands/status.ts; pure.
 */
import type { CanaryStepName, CanaryVerdict } from "../canary.ts";
import type { StatusFacts } from "../life/judgement.ts";
import type { ReaperReport } from "../reaper-report.ts";

export type Check = Readonly<{
  name: string;
  ok: boolean;
  text: string;
  /** What to do; null when nothing, or when the text says it. */
  mend: string | null;
}>;

export type Seen = Readonly<{
  facts: StatusFacts;
  /** Missing before its first run. */
  canary: CanaryVerdict | undefined;
  /** Messages that wait in the queue. */
  queued: number;
  /** The last expiry of old mail; missing before the first since the start. */
  expiry: ReaperReport | undefined;
  /** When the last daily one was, Unix seconds; missing before the first of all. */
  lastExpiry: number | undefined;
  /** Of the data partition, in bytes. */
  disk: Readonly<{ free: number; size: number }>;
}>;

/** The way of a message counts as one. */
const mailSteps: readonly CanaryStepName[] = ["login", "submission", "delivery", "content", "removal"];

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;

/** @param now Unix seconds. */
export function statusChecks(seen: Seen, now: number): Check[] {
  const { facts, canary, queued, disk } = seen;
  const about = (test: (about: string) => boolean) => facts.findings.filter((finding) => test(finding.about));
  const checks: Check[] = [];
  /** A row for each finding, or one that says that all is well. */
  const add = (name: string, findings: StatusFacts["findings"], well: string | undefined) => {
    for (const { lines } of findings) checks.push({ name, ok: false, text: lines.join(" "), mend: null });
    if (findings.length === 0 && well !== undefined) checks.push({ name, ok: true, text: well, mend: null });
  };
  add(
    "network",
    about((one) => one === "network"),
    facts.addresses.join(", "),
  );
  add(
    "Wi-Fi",
    about((one) => one === "wifi"),
    undefined,
  );
  const down = about((one) => one === "settings" || one.startsWith("unit "));
  add("services", down, `all ${facts.units} run`);
  if (facts.domain === null) return checks;
  checks.push(
    ...canaryChecks(
      canary,
      about((one) => one === "certificate"),
      now,
    ),
  );
  add(
    "canary",
    about((one) => one === "canary-old"),
    undefined,
  );
  const room = about((one) => one.startsWith("disk-"));
  add("disk", room, `${gigabytes(disk.free)} of ${gigabytes(disk.size)} free`);
  add(
    "settings",
    about((one) => one === "import"),
    undefined,
  );
  add(
    "push",
    about((one) => one === "metadata"),
    undefined,
  );
  add(
    "calls",
    about((one) => one === "turn"),
    undefined,
  );
  checks.push({ name: "queue", ok: true, text: queueText(queued), mend: null });
  const trouble = about((one) => one.startsWith("reaper-"));
  add("expiry", trouble, undefined);
  if (trouble.length === 0) checks.push(expiryCheck(seen, now));
  return checks;
}

function canaryChecks(
  canary: CanaryVerdict | undefined,
  certificate: StatusFacts["findings"],
  now: number,
): Check[] {
  const told = certificate.map(
    ({ lines }): Check => ({
      name: "certificate",
      ok: false,
      text: lines.join(" ").replace(/^certificate: /, ""),
      mend: null,
    }),
  );
  if (canary === undefined)
    return [
      { name: "mail", ok: true, text: "not tried yet: comes by itself, or with --now", mend: null },
      ...told,
    ];
  const steps = canary.steps.filter(
    ({ name }) => name !== "disk" && !(name === "certificate" && told.length > 0),
  );
  const mail = steps.filter(({ name }) => mailSteps.includes(name));
  const failed = mail.find(({ ok }) => !ok);
  const seconds = mail
    .filter(({ name }) => name === "submission" || name === "delivery")
    .reduce((sum, step) => sum + step.seconds, 0);
  const minutes = Math.round((now - canary.time) / 60);
  const well = `a message to itself was sent, delivered and read in ${seconds.toFixed(2)} s, ${minutes} min ago`;
  return [
    failed === undefined
      ? { name: "mail", ok: true, text: well, mend: null }
      : { name: "mail", ok: false, text: failed.detail, mend: failed.mend },
    ...steps
      .filter(({ name }) => !mailSteps.includes(name))
      .map(({ name, ok, detail, mend }) => ({ name: titles[name] ?? name, ok, text: detail, mend })),
    ...told,
  ];
}

const titles: Partial<Record<CanaryStepName, string>> = { "port-443": "port 443", dns: "DNS" };

function queueText(queued: number): string {
  if (queued === 0) return "no message waits";
  return `${queued} ${queued === 1 ? "message waits" : "messages wait"}: \`mailq\` says what for`;
}

function expiryCheck({ expiry, lastExpiry }: Seen, now: number): Check {
  const hours = lastExpiry === undefined ? undefined : Math.max(0, Math.round((now - lastExpiry) / 3600));
  if (expiry !== undefined) return expiryReportCheck(expiry, now);
  const text =
    hours === undefined ? "not done yet: comes by itself within an hour" : `last done ${hours} h ago`;
  return { name: "expiry", ok: true, text, mend: null };
}

function expiryReportCheck(report: ReaperReport, now: number): Check {
  const { time, removed, accounts, failures, refusal } = report;
  const messages = Object.values(removed).reduce((sum, { messages: count }) => sum + count, 0);
  const hours = Math.max(0, Math.round((now - time) / 3600));
  const text = `${messages} messages and ${accounts.idle + accounts.asked} accounts went ${hours} h ago`;
  // This is care, and the next run goes on from here; of a clock that no time server has set another row says what to do.
  if (refusal !== undefined)
    return {
      name: "expiry",
      ok: true,
      text: `nothing goes by its age today: ${refusal}`,
      mend: null,
    };
  const mend = failures === 0 ? null : "see `journalctl -t homing-reaper`";
  return {
    name: "expiry",
    ok: failures === 0,
    text: failures === 0 ? text : `${text}; ${failures} failed`,
    mend,
  };
}
