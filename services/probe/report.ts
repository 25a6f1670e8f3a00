/**
 * Writes down how a run went: the verdict for homing-ctl and the health gate, what needs somebody for the console, and
 * figures for Prometheus, whose histogram goes on from run to run. Called by main.ts.
 */
import { chmod, rename, rm, writeFile } from "node:fs/promises";
import { type CanaryStep, type CanaryVerdict, canarySteps, stepsOfOthers } from "../../appliance/canary.ts";
import { readIfPresent } from "../../appliance/life/disk.ts";
import { describeError, type Log } from "../lib/log.ts";
import { makeRoom, type Steps } from "./steps.ts";

/** Upper bounds in seconds: a message to oneself takes 0.1 s on a quiet PC and some seconds on a busy Raspberry Pi 3. */
const bounds = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

/** Of one step since the boot. `within[i]`: runs that took at most `bounds[i]` and more than the bound before. */
type StepHistory = { failed: number; sum: number; count: number; within: number[] };
export type History = { ok: number; failed: number; steps: Record<string, StepHistory> };

export type ReportPaths = Readonly<{ verdict: string; problem: string; history: string; metrics: string }>;

/**
 * @param time Unix seconds. A run that broke off says nothing good of the relay, whichever step it was. That Postfix wants
 * room (452) says nothing bad of the system if the disk is full.
 */
export function verdictOf({ done, isWhole }: Pick<Steps, "done" | "isWhole">, time: number): CanaryVerdict {
  const failed = done.filter(({ ok }) => !ok);
  const isFull = failed.some(({ name }) => name === "disk");
  const isOthers = ({ name, mend }: CanaryStep) => stepsOfOthers.has(name) || (isFull && mend === makeRoom);
  return {
    time,
    ok: failed.length === 0 && isWhole(),
    works: failed.every(isOthers) && isWhole(),
    steps: done,
  };
}

/** @throws what the writing of the verdict throws; figures that cannot be written say nothing about the relay */
export async function writeReport(paths: ReportPaths, verdict: CanaryVerdict, log: Log): Promise<void> {
  const history = addRun(readHistory((await readIfPresent(paths.history))?.toString()), verdict);
  await replace(paths.history, JSON.stringify(history));
  await replace(paths.verdict, `${JSON.stringify(verdict)}\n`);
  const problems = problemLines(verdict);
  if (problems.length === 0) await rm(paths.problem, { force: true });
  else await replaceIfOther(paths.problem, problems.map((line) => `${line}\n`).join(""));
  // All services write in that folder.
  await replace(paths.metrics, figures(verdict, history)).catch((cause: unknown) =>
    log.warn("cannot write the figures", { path: paths.metrics, cause: describeError(cause) }),
  );
}

/** For the console: the same text as long as the same is wrong, whatever the times. */
export function problemLines({ steps }: CanaryVerdict): string[] {
  return steps
    .filter(({ ok }) => !ok)
    .map(({ detail, mend }) => (mend === null ? detail : `${detail}. ${mend}`));
}

/** A new one for a text that is none: it is lost with the memory anyway. */
export function readHistory(text: string | undefined): History {
  try {
    const history = JSON.parse(text ?? "") as History;
    const isWhole = Object.values(history.steps).every(({ within }) => within.length === bounds.length);
    if (Number.isFinite(history.ok + history.failed) && isWhole) return history;
  } catch {
    // None yet, or cut short.
  }
  return { ok: 0, failed: 0, steps: {} };
}

export function addRun(history: History, { ok, steps }: CanaryVerdict): History {
  const next = structuredClone(history);
  next[ok ? "ok" : "failed"] += 1;
  for (const step of steps) {
    next.steps[step.name] ??= { failed: 0, sum: 0, count: 0, within: bounds.map(() => 0) };
    const entry = next.steps[step.name]!;
    if (!step.ok) {
      entry.failed += 1;
      continue;
    }
    entry.count += 1;
    entry.sum += step.seconds;
    const place = bounds.findIndex((bound) => step.seconds <= bound);
    if (place >= 0) entry.within[place]! += 1;
  }
  return next;
}

/** Prometheus' text format 0.0.4. */
export function figures(verdict: CanaryVerdict, history: History): string {
  const lines: string[] = [];
  const family = (name: string, type: string, help: string, series: readonly string[]) =>
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...series.map((one) => `${name}${one}`));
  const names = canarySteps.filter((name) => Object.hasOwn(history.steps, name));
  const each = (text: (name: string, step: StepHistory) => string[]) =>
    names.flatMap((name) => text(name, history.steps[name]!));
  family("homing_canary_ok", "gauge", "1 when nothing was wrong at the last run.", [
    ` ${Number(verdict.ok)}`,
  ]);
  family(
    "homing_canary_works",
    "gauge",
    "1 when mail and port 443 worked, whatever certificate, DNS, clock and disk are like.",
    [` ${Number(verdict.works)}`],
  );
  family("homing_canary_run_seconds", "gauge", "End of the last run, in seconds since 1970.", [
    ` ${verdict.time}`,
  ]);
  family("homing_canary_runs_total", "counter", "Runs by outcome.", [
    `{outcome="ok"} ${history.ok}`,
    `{outcome="failed"} ${history.failed}`,
  ]);
  family(
    "homing_canary_step_ok",
    "gauge",
    "1 when the step went well at the last run; missing when it could not be tried.",
    verdict.steps.map(({ name, ok }) => `{step="${name}"} ${Number(ok)}`),
  );
  family(
    "homing_canary_step_failures_total",
    "counter",
    "Failures of a step.",
    each((name, { failed }) => [`{step="${name}"} ${failed}`]),
  );
  family(
    "homing_canary_step_seconds",
    "histogram",
    "Time of steps that went well; delivery is from the relay's yes to the idle mailbox.",
    each((name, { within, sum, count }) => {
      let total = 0;
      const buckets = bounds.map((bound, i) => {
        total += within[i]!;
        return `_bucket{step="${name}",le="${bound}"} ${total}`;
      });
      const rest = [`_bucket{step="${name}",le="+Inf"} ${count}`, `_sum{step="${name}"} ${sum.toFixed(3)}`];
      return [...buckets, ...rest, `_count{step="${name}"} ${count}`];
    }),
  );
  return `${lines.join("\n")}\n`;
}

/** The same text stays the same file, by which `look` knows that the page is as it was (appliance/files/status.ts). */
async function replaceIfOther(path: string, content: string): Promise<void> {
  if ((await readIfPresent(path))?.toString() !== content) await replace(path, content);
}

/** For all to read; nothing here has to outlive a power cut. */
async function replace(path: string, content: string): Promise<void> {
  const aside = `${path}.new`;
  // No link that another service put there is followed.
  await rm(aside, { force: true });
  await writeFile(aside, content, { flag: "wx" });
  await chmod(aside, 0o644);
  await rename(aside, path);
}
