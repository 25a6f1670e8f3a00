/**
 * The one part of prom-client that puts series into text, by itself: the package as a whole also loads what collects
 * figures of Node, a cluster and a web client, at every start.
 */
declare module "prom-client/lib/registry.js" {
  type Value = Readonly<{
    metricName?: string;
    labels: Readonly<Record<string, string>>;
    value: number;
  }>;
  /** What it asks of a metric. It changes `name` where a format wants another. */
  export type RegisteredMetric = {
    name: string;
    help: string;
    type: string;
    get(): { name: string; help: string; type: string; values: readonly Value[] };
  };
  class Registry {
    static readonly PROMETHEUS_CONTENT_TYPE: string;
    static readonly OPENMETRICS_CONTENT_TYPE: string;
    constructor(contentType: string);
    registerMetric(metric: RegisteredMetric): void;
    metrics(): Promise<string>;
  }

  // biome-ignore lint/style/noDefaultExport: that is how the module has it
  export { Registry as default };
}
