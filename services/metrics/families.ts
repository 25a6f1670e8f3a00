/** Makes families of series out of figures (text-format.ts). Pure; used by all that looks something up itself. */
import type { Family, Sample } from "./text-format.ts";

type Figure = readonly [value: number, labels?: Readonly<Record<string, string>>];

/** Undefined when there are no figures: a relay has no sensor, or no such disk. */
export function gauge(name: string, help: string, figures: readonly Figure[]): Family | undefined {
  return family("gauge", name, help, figures);
}

export function counter(name: string, help: string, figures: readonly Figure[]): Family | undefined {
  return family("counter", name, help, figures);
}

function family(
  type: Family["type"],
  name: string,
  help: string,
  figures: readonly Figure[],
): Family | undefined {
  const samples = figures.map(([value, labels = {}]): Sample => ({ name, labels, value }));
  return samples.length === 0 ? undefined : { name, help, type, samples };
}
