/**
 * Reads series in Prometheus' text format (version 0.0.4), as services write them (services/lib/counters.ts) and as
 * Dovecot answers. Strict: a file of which one line is wrong is not taken at all. Pure; used by service-files.ts and
 * dovecot.ts.
 */

export type Sample = Readonly<{
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}>;

/** The series of one name. Those of a histogram end in `_bucket`, `_sum` and `_count`. */
export type Family = Readonly<{
  name: string;
  help: string;
  type: "counter" | "gauge" | "histogram";
  samples: readonly Sample[];
}>;

/** The text is not what a service of ours writes; the message says where and why, and repeats nothing of it. */
export class MetricsTextError extends Error {
  override name = "MetricsTextError";
}

/** All series of one text; services/lib/counters.ts has at most 100 of a name. */
const MAX_SAMPLES = 5_000;
/** A label says a kind or a state, in a word or two. */
const MAX_LABEL_VALUE = 80;

const TYPES: ReadonlySet<string> = new Set(["counter", "gauge", "histogram"]);
const SUFFIXES = ["_bucket", "_sum", "_count"] as const;
const SAMPLE = /^([a-zA-Z_][a-zA-Z0-9_]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)/y;
const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;

/** The families of a text in its order. @throws MetricsTextError */
export function parseFamilies(text: string): Family[] {
  const helps = new Map<string, string>();
  const families = new Map<string, { type: Family["type"]; samples: Sample[]; seen: Set<string> }>();
  let count = 0;
  for (const [index, line] of text.split("\n").entries()) {
    const refuse = (why: string): never => {
      throw new MetricsTextError(`line ${index + 1} ${why}`);
    };
    if (line === "") continue;
    if (line.startsWith("#")) {
      const [, keyword, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? [];
      if (keyword === "HELP") helps.set(name, unescaped(rest));
      else if (keyword === "TYPE") {
        if (!TYPES.has(rest) || families.has(name)) refuse("has a type that cannot be");
        families.set(name, { type: rest as Family["type"], samples: [], seen: new Set() });
      } else refuse("is a comment of no known kind");
      continue;
    }
    const sample = parseSample(line);
    if (sample === undefined) return refuse("is no series");
    const family = families.get(familyOf(sample.name, families)) ?? refuse("belongs to no family");
    const key = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
    if (family.seen.has(key)) refuse("is a series that was there already");
    if (Object.values(sample.labels).some(namesSomebody))
      refuse("has a label that is too long or an address");
    if (++count > MAX_SAMPLES) refuse(`is beyond ${MAX_SAMPLES} series`);
    family.seen.add(key);
    family.samples.push(sample);
  }
  return [...families].map(([name, { type, samples }]) => ({
    name,
    help: helps.get(name) ?? "",
    type,
    samples,
  }));
}

/** The series of a text, whatever else is in it; what is none is left out. */
export function parseSamples(text: string): Sample[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .slice(0, MAX_SAMPLES)
    .flatMap((line) => parseSample(line) ?? []);
}

function familyOf(name: string, families: ReadonlyMap<string, { type: Family["type"] }>): string {
  const suffix = SUFFIXES.find((one) => name.endsWith(one));
  const stem = suffix === undefined ? name : name.slice(0, -suffix.length);
  return families.get(stem)?.type === "histogram" ? stem : name;
}

/** No label of ours holds a mail address; one that does came from a mistake, and goes to nobody. */
function namesSomebody(value: string): boolean {
  return value.length > MAX_LABEL_VALUE || value.includes("@");
}

function parseSample(line: string): Sample | undefined {
  const [, name, labelText, valueText] = SAMPLE.exec(line) ?? [];
  if (name === undefined || valueText === undefined) return undefined;
  const value = valueText === "+Inf" ? Number.POSITIVE_INFINITY : Number(valueText);
  if (valueText !== "+Inf" && !NUMBER.test(valueText)) return undefined;
  const labels = labelText === undefined ? {} : parseLabels(labelText);
  return labels && { name, labels, value };
}

function parseLabels(text: string): Record<string, string> | undefined {
  const labels: Record<string, string> = {};
  for (let at = 0; at < text.length; ) {
    LABEL.lastIndex = at;
    const match = LABEL.exec(text);
    if (match === null || match[1]! in labels) return undefined;
    labels[match[1]!] = unescaped(match[2]!);
    at = LABEL.lastIndex;
  }
  return labels;
}

function unescaped(text: string): string {
  return text.replace(/\\(["\\n])/g, (_all, one: string) => (one === "n" ? "\n" : one));
}
