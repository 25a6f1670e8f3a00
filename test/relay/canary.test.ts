/** The canary on a real relay: what it finds when all is well, and when a part of the relay is not there. */
import { afterEach, expect, it } from "vitest";
import { type CanaryStepName, type CanaryVerdict, canarySteps } from "../../appliance/canary.ts";
import { runPaths } from "../../appliance/layout.ts";
import { describeRelays } from "../support/ring.ts";

describeRelays("the canary", { "_a.test": {} }, (ring) => {
  const relay = () => ring.relay("_a.test");
  /** Units that a test stopped. */
  let masked: string[] = [];

  const run = async (): Promise<CanaryVerdict & { exitCode: string }> => {
    await relay().exec("systemctl start homing-probe.service", { anyExitCode: true });
    const { stdout } = await relay().exec(
      `systemctl show --property ExecMainStatus --value homing-probe.service; cat ${runPaths.canaryVerdict}`,
    );
    const [exitCode = "", ...rest] = stdout.split("\n");
    return { ...(JSON.parse(rest.join("\n")) as CanaryVerdict), exitCode };
  };
  const stop = async (...units: string[]) => {
    masked = units;
    await relay().exec(`systemctl mask --runtime --now ${units.join(" ")} 2>&1`);
  };

  afterEach(async () => {
    if (masked.length === 0) return;
    await relay().exec(
      `systemctl unmask --runtime ${masked.join(" ")} && systemctl start ${masked.join(" ")}`,
    );
    masked = [];
  });

  it("finds a relay in order, by a message that nobody else can read, and leaves nothing behind", async () => {
    const verdict = await run();
    expect(verdict.steps.filter(({ ok }) => !ok)).toEqual([]);
    expect(verdict).toMatchObject({ ok: true, works: true, exitCode: "0" });
    expect(verdict.steps.map(({ name }) => name)).toEqual([...canarySteps]);
    const again = await run();
    expect(again.ok).toBe(true);
    const { stdout: figures } = await relay().exec(`cat ${runPaths.metrics}/canary.prom`);
    expect(figures).toContain('homing_canary_runs_total{outcome="ok"} 2');
    expect(figures).toContain('homing_canary_step_seconds_count{step="delivery"} 2');
    const { stdout: left } = await relay().exec(
      "find /data/mail -path '*homing-canary-*' -path '*/cur/*' -type f",
    );
    expect(left).toBe("");
    const { stdout: told } = await relay().exec(
      `cat ${runPaths.canaryVerdict}; journalctl --unit homing-probe`,
    );
    expect(told).not.toContain("homing-canary-");
    expect(await relay().logEntries(/answering logins/)).not.toEqual([]);
  });

  it.each<[CanaryStepName, string[], RegExp]>([
    ["login", ["dovecot.service"], /status dovecot/],
    ["submission", ["homing-milter.socket", "homing-milter.service"], /status homing-milter/],
    ["port-443", ["homing-mux.socket", "homing-mux.service"], /status homing-mux/],
  ])("finds %s to fail without %s, and says what to look at", async (name, units, mend) => {
    await stop(...units);
    const verdict = await run();
    expect(verdict).toMatchObject({ ok: false, works: false, exitCode: "1" });
    const [failed] = verdict.steps.filter(({ ok }) => !ok);
    expect(failed).toMatchObject({ name, mend: expect.stringMatching(mend) });
    expect((await relay().exec(`cat ${runPaths.canaryProblem}`)).stdout).toMatch(mend);
  });
});
