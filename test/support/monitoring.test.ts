/** The dashboard and the alerts that the project ships, by Prometheus' own tools. */
import { spawnSync } from "node:child_process";
import { mkdtempDisposable, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { changedAlerts, isUnchanged, testsOfChanged } from "./changed-alerts.ts";
import { expressions, missingLabels, monitoringFile, wantedLabels, wantedSeries } from "./monitoring.ts";

const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;
/** It says of each failure what it expected and got: hundreds of kilobytes for the changed alerts. */
const MOST_SAID = 16_777_216;
const promtool = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync("promtool", args, { encoding: "utf8", maxBuffer: MOST_SAID });
  return { status, text: stdout + stderr };
};

describe.skipIf(!hasPromtool)(`the files for Prometheus${hasPromtool ? "" : " (needs promtool)"}`, () => {
  it("have alerts that come when they shall", () => {
    expect(promtool("test", "rules", monitoringFile("alerts-test.yml"))).toMatchObject({ status: 0 });
  });

  it("have tests that notice every change of a number or a delay", async () => {
    const changed = changedAlerts(await readFile(monitoringFile("alerts.yml"), "utf8"));
    expect(changed.length).toBeGreaterThan(100);
    await using folder = await mkdtempDisposable(join(tmpdir(), "homing-rules-"));
    const rulesFile = (i: number) => `rules-${i}.yml`;
    const tests = testsOfChanged(
      await readFile(monitoringFile("alerts-test.yml"), "utf8"),
      changed,
      rulesFile,
    );
    const paths = tests.map((_, i) => join(folder.path, `test-${i}.yml`));
    for (const [i, test] of tests.entries()) {
      await writeFile(join(folder.path, rulesFile(i)), test.rules);
      await writeFile(paths[i]!, test.tests);
    }
    const { text } = promtool("test", "rules", ...paths);
    const noticed = new Set([...text.matchAll(/alertname: *([^,\n]+), *time:/g)].map(([, name]) => name));
    // What promtool cannot read it refuses without the name of an alert: that counts as noticed by nobody.
    expect(changed.filter((one) => noticed.has(one.name) === isUnchanged(one))).toEqual([]);
  }, 120_000);

  it("have expressions that Prometheus understands", async () => {
    const rules = (await expressions()).map(
      (expression, i) =>
        `      - record: check_${i}\n        expr: ${JSON.stringify(expression.replaceAll("$__rate_interval", "5m"))}\n`,
    );
    expect(rules.length).toBeGreaterThan(40);
    await using folder = await mkdtempDisposable(join(tmpdir(), "homing-rules-"));
    const path = join(folder.path, "rules.yml");
    await writeFile(path, `groups:\n  - name: check\n    rules:\n${rules.join("")}`);
    expect(promtool("check", "rules", path).text).toContain(`SUCCESS: ${rules.length} rules`);
  });
});

describe("the files for Prometheus and Grafana", () => {
  it("have a test for every alert", async () => {
    const names = (text: string, key: string) =>
      new Set([...text.matchAll(new RegExp(`${key}: (\\w+)`, "g"))].map(([, name]) => name));
    const alerts = names(await readFile(monitoringFile("alerts.yml"), "utf8"), "alert");
    const tested = names(await readFile(monitoringFile("alerts-test.yml"), "utf8"), "alertname");
    expect(tested).toEqual(alerts);
  });

  it("are searched for the labels that they wait for", async () => {
    const wanted = wantedLabels(
      'sum by (instance, le) (homing_a_total{instance="$relay",state=~"hot|cold",way!="up"}) > homing_b{job="x"}',
    );
    const [hot, cold, way] = [
      { series: "homing_a_total", label: "state", value: "hot" },
      { series: "homing_a_total", label: "state", value: "cold" },
      { series: "homing_a_total", label: "way", value: "up" },
    ];
    const by = ["homing_a_total", "homing_b"].map((series) => ({ series, label: "le" }));
    expect(wanted).toEqual([hot, cold, way, ...by]);
    expect(() => wantedLabels('homing_a{state=~"h.*"}')).toThrow(
      /which values does homing_a\{state=~"h\.\*"\}/,
    );
    const scrape = 'homing_a_total{state="hot",le="1"} 0\nhoming_a_total{state="warm",way="up"} 3\n';
    expect(missingLabels(wanted, scrape)).toEqual([cold, by[0]]);
    expect(missingLabels(wanted, "")).toEqual([hot, cold, way]);

    const all = (await expressions()).flatMap(wantedLabels);
    expect(all.filter(({ value }) => value !== undefined).length).toBeGreaterThan(6);
    expect(all.filter(({ value }) => value === undefined).length).toBeGreaterThan(10);
  });

  it("are explained: every series that they ask for stands in the list", async () => {
    const list = await readFile(monitoringFile("../docs/metrics.md"), "utf8");
    const { all } = await wantedSeries();
    const stem = (name: string) => name.replace(/_(?:bucket|count|sum)$/, "");
    expect(all.map(stem).filter((name) => !list.includes(`\`${name}`))).toEqual([]);
  });
});
