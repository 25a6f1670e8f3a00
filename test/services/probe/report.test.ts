import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { CanaryVerdict } from "../../../appliance/canary.ts";
import { createLog } from "../../../services/lib/log.ts";
import {
  addRun,
  figures,
  problemLines,
  readHistory,
  verdictOf,
  writeReport,
} from "../../../services/probe/report.ts";
import { createSteps, Finding, makeRoom } from "../../../services/probe/steps.ts";

const verdict: CanaryVerdict = {
  ...{ time: 1_800_000_000, ok: false, works: true },
  steps: [
    { name: "delivery", ok: true, seconds: 0.3, detail: "seen", mend: null },
    { name: "dns", ok: false, seconds: 4, detail: "no A record", mend: "publish it" },
  ],
};

describe("the canary's verdict", () => {
  it.each([
    ["dns", true],
    ["certificate", true],
    ["disk", true],
    ["clock", true],
    ["delivery", false],
    ["port-443", false],
  ] as const)("on a relay whose %s is wrong: it works, %s", async (name, works) => {
    const steps = createSteps();
    await steps.take("login", async () => {});
    await steps.take(name, () => Promise.reject(new Error("wrong")));
    expect(verdictOf(steps, 7)).toMatchObject({ time: 7, ok: false, works });
  });

  it("is that it works when Postfix wants room and the disk is full, not so with room on the disk", async () => {
    const steps = createSteps();
    await steps.take("submission", () => Promise.reject(new Finding("452 4.3.1", makeRoom)));
    expect(verdictOf(steps, 7)).toMatchObject({ ok: false, works: false });
    await steps.take("disk", () => Promise.reject(new Finding("full", "a larger one")));
    expect(verdictOf(steps, 7)).toMatchObject({ ok: false, works: true });
    const other = createSteps();
    await other.take("submission", () => Promise.reject(new Finding("451 4.7.1", "see")));
    await other.take("disk", () => Promise.reject(new Finding("full", "a larger one")));
    expect(verdictOf(other, 7)).toMatchObject({ ok: false, works: false });
  });

  it("is that it does not work when a run breaks off between two steps, and names the next", async () => {
    const steps = createSteps();
    await steps.guard("submission", async () => {
      await steps.take("login", async () => {});
      throw new Error("no key");
    });
    await steps.guard("dns", async () => {
      await steps.take("dns", async () => {});
      throw new Error("no end");
    });
    expect(verdictOf(steps, 7)).toMatchObject({ ok: false, works: false });
    expect(steps.done.map(({ name, ok, detail }) => `${name} ${ok} ${detail}`)).toEqual([
      "login true ",
      "submission false no key",
      "dns true ",
      "delivery false no end",
    ]);
    const key = createSteps();
    await key.guard("dns", () => Promise.reject(new Error("no public key")));
    expect(verdictOf(key, 7)).toMatchObject({ ok: false, works: false });
  });
});

describe("the canary's report", () => {
  it("counts on from run to run, each time in the bucket it belongs to", () => {
    const slow = {
      ...verdict,
      steps: verdict.steps.map((step) => ({ ...step, seconds: 100 })),
    };
    const history = [verdict, verdict, slow].reduce(
      (before, run) => addRun(readHistory(JSON.stringify(before)), run),
      readHistory(undefined),
    );
    const text = figures(verdict, history);
    for (const line of [
      "homing_canary_ok 0",
      "homing_canary_works 1",
      "homing_canary_run_seconds 1800000000",
      'homing_canary_runs_total{outcome="failed"} 3',
      'homing_canary_step_ok{step="dns"} 0',
      'homing_canary_step_failures_total{step="dns"} 3',
      'homing_canary_step_seconds_bucket{step="delivery",le="0.25"} 0',
      'homing_canary_step_seconds_bucket{step="delivery",le="0.5"} 2',
      'homing_canary_step_seconds_bucket{step="delivery",le="60"} 2',
      'homing_canary_step_seconds_bucket{step="delivery",le="+Inf"} 3',
      'homing_canary_step_seconds_sum{step="delivery"} 100.600',
      'homing_canary_step_seconds_count{step="dns"} 0',
    ]) {
      expect(text.split("\n")).toContain(line);
    }
  });

  it.each(["", "{", "null", '{"ok":1,"failed":0,"steps":{"dns":{"within":[1]}}}'])(
    "begins anew after a history that is none: %s",
    (text) => {
      expect(readHistory(text)).toEqual({ ok: 0, failed: 0, steps: {} });
    },
  );

  it("says what is wrong and what to do, in the same words as long as the same is wrong", () => {
    expect(problemLines(verdict)).toEqual(["no A record. publish it"]);
    expect(problemLines({ ...verdict, time: 1 })).toEqual(problemLines(verdict));
  });

  it("writes the verdict though another service keeps it from writing its figures", async () => {
    const folder = await mkdtemp(join(tmpdir(), "homing-report-"));
    const lines: string[] = [];
    try {
      const at = (name: string) => join(folder, name);
      const paths = { verdict: at("v"), problem: at("p"), history: at("h"), metrics: at("canary.prom") };
      await mkdir(at("canary.prom"));
      await writeFile(at("other"), "of another service");
      await symlink(at("other"), at("v.new"));
      await writeReport(
        paths,
        verdict,
        createLog((line) => lines.push(line)),
      );
      expect(JSON.parse(await readFile(paths.verdict, "utf8"))).toEqual(verdict);
      expect(await readFile(at("other"), "utf8")).toBe("of another service");
      expect(lines).toEqual([expect.stringContaining("cannot write the figures")]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
