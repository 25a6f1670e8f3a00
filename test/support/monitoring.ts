/** The files for Prometheus and Grafana in monitoring/, and what they ask a relay for. Used by the tests of both. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseSamples } from "../../services/metrics/text-format.ts";

export function monitoringFile(name: string): string {
  return join(import.meta.dirname, "..", "..", "monitoring", name);
}

/**
 * Series that only some relays have: of the daily deletion once it has run, a Raspberry Pi's sensors and cards, file systems with ext4, and a relay whose
 * certificate comes from an authority. A container may have no memory controller.
 */
const ON_SOME_MACHINES =
  /^homing_(?:temperature_celsius|processor_throttled|undervoltage|card_life_used|card_reserve_state|disk_errors_total|disk_written_bytes_total|needs_attention|service_memory_bytes|pressure_seconds_total|certificate_failures_in_a_row|reaper_[a-z_]+)$/;

/** Names of all our series in the text of a scrape, also of those that wait for something to happen. */
export function seriesNamesOf(text: string): Set<string> {
  return new Set(
    [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].flatMap(([, name, type]) =>
      type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name!],
    ),
  );
}

/** The expressions of the dashboard and of the alerts. */
export async function expressions(): Promise<string[]> {
  const dashboard = JSON.parse(await readFile(monitoringFile("grafana-dashboard.json"), "utf8")) as {
    panels: readonly { targets?: readonly { expr: string }[] }[];
  };
  const alerts = await readFile(monitoringFile("alerts.yml"), "utf8");
  return [
    ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...[...alerts.matchAll(/^ {8}expr: (?:\|\n\s+)?(.*)$/gm)].map(([, expression]) => expression!),
  ];
}

/** Prometheus itself adds them to what it scrapes. */
const labelsOfPrometheus: ReadonlySet<string> = new Set(["instance", "job"]);

/**
 * What expressions take for granted of labels: values that a series must have (`{state="deferred"}`, also those that are left
 * out), and with `by` that it has the label at all.
 */
export type WantedLabel = Readonly<{ series: string; label: string; value?: string }>;

/** @throws Error about a matcher that has anything but plain words in it: nobody could say which values it waits for. */
export function wantedLabels(expression: string): WantedLabel[] {
  const matched = [...expression.matchAll(/\b(homing_\w+)\{([^}]*)\}/g)].flatMap(([, series, matchers]) =>
    [...matchers!.matchAll(/(\w+)\s*(?:!=|=~|!~|=)\s*"([^"]*)"/g)]
      .filter(([, label]) => !labelsOfPrometheus.has(label!))
      .flatMap(([matcher, label, values]) =>
        values!.split("|").map((value) => {
          if (!/^\w+$/.test(value)) throw new Error(`which values does ${series}{${matcher}} wait for?`);
          return { series: series!, label: label!, value };
        }),
      ),
  );
  const names = new Set(expression.match(/\bhoming_\w+/g) ?? []);
  const grouped = [...expression.matchAll(/\bby\s*\(([^)]*)\)/g)]
    .flatMap(([, labels]) => labels!.split(/\s*,\s*/))
    .filter((label) => !labelsOfPrometheus.has(label))
    .flatMap((label) => [...names].map((series) => ({ series, label })));
  return [...matched, ...grouped];
}

/**
 * Those that a scrape does not have. A label without a value is looked for at all samples of its series, for one may not
 * have happened yet; a value is not there unless a sample has it.
 */
export function missingLabels(wanted: readonly WantedLabel[], scrape: string): WantedLabel[] {
  const samples = Map.groupBy(parseSamples(scrape), ({ name }) => name);
  return wanted.filter(({ series, label, value }) => {
    const its = samples.get(series) ?? [];
    return value === undefined
      ? its.some(({ labels }) => labels[label] === undefined)
      : !its.some(({ labels }) => labels[label] === value);
  });
}

/** What they ask for, of which every relay must have at least one series; also of those that some machines have. */
export async function wantedSeries(): Promise<{ everywhere: string[]; all: string[] }> {
  const names = (await expressions()).flatMap((one) => one.match(/\bhoming_[a-z_]+/g) ?? []);
  const all = [...new Set(names)].sort();
  return { all, everywhere: all.filter((name) => !ON_SOME_MACHINES.test(name)) };
}
