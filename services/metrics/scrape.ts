/**
 * All series of the relay in the text that a scraper asked for: what this service looks up itself, what Dovecot counts,
 * and what the other services wrote down. Called by server.ts.
 */
import Registry, { type RegisteredMetric } from "prom-client/lib/registry.js";
import type { Log } from "../lib/log.ts";
import { createCertificateLook } from "./certificate.ts";
import { lastDeletion } from "./deletion.ts";
import { deviceFamilies } from "./device.ts";
import { askDovecot, dovecotFamilies } from "./dovecot.ts";
import { gauge } from "./families.ts";
import { createServiceFiles } from "./service-files.ts";
import type { Family } from "./text-format.ts";

export type Format = "prometheus" | "openmetrics";

export const contentTypes: Readonly<Record<Format, string>> = {
  prometheus: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};

export type ScrapeOptions = Readonly<{
  /** Where services write what they count; of two files that count the same, the one of an earlier folder holds. */
  folders: readonly string[];
  /** Dovecot's stats service, over HTTP. */
  dovecotSocket: string;
  certificatePath: string;
  /** Where /proc, /sys, /run and /data are; "/" unless given. */
  root?: string;
  log: Log;
}>;

/** Gives the text; whatever fails is left out, and a series says so. */
export function createScrape(options: ScrapeOptions): (format: Format) => Promise<string> {
  const { log } = options;
  const readServiceFiles = createServiceFiles(options.folders, log);
  const lookAtCertificate = createCertificateLook(options.certificatePath);
  let dovecotAnswers = true;

  const fromDovecot = async (): Promise<Family[]> => {
    try {
      const families = dovecotFamilies(await askDovecot(options.dovecotSocket));
      dovecotAnswers = true;
      return families;
    } catch (cause) {
      if (dovecotAnswers) log.warn("Dovecot does not tell what it counts", { cause: String(cause) });
      dovecotAnswers = false;
      return [];
    }
  };

  return async (format) => {
    const [dovecot, certificate] = await Promise.all([fromDovecot(), lookAtCertificate()]);
    const once = [...certificate, lastDeletion(options.root)].filter((family) => family !== undefined);
    const own = [...deviceFamilies(options.root), ...once, ...dovecot];
    const aboutThis = (good: number, broken: number) => [
      gauge("homing_dovecot_up", "1 when Dovecot told what it counts.", [[dovecotAnswers ? 1 : 0]])!,
      gauge(
        "homing_metrics_files",
        "Files in which services write what they count: taken, and left out because something is wrong with them.",
        [
          [good, { state: "good" }],
          [broken, { state: "broken" }],
        ],
      )!,
    ];
    const taken = new Set([...own, ...aboutThis(0, 0)].map(({ name }) => name));
    const files = readServiceFiles(taken);
    return await render([...own, ...files.families, ...aboutThis(files.good, files.broken)], format);
  };
}

async function render(families: readonly Family[], format: Format): Promise<string> {
  const registry = new Registry(contentTypes[format]);
  for (const family of families) registry.registerMetric(registered(family));
  return await registry.metrics();
}

function registered({ name, help, type, samples }: Family): RegisteredMetric {
  const values = samples.map(({ name: own, labels, value }) =>
    own === name ? { labels, value } : { metricName: own, labels, value },
  );
  return {
    name,
    help,
    type,
    get() {
      return { name: this.name, help, type, values };
    },
  };
}
