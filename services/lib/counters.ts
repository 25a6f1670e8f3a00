/**
 * Counters and gauges of a service, as a file in Prometheus' text format (version 0.0.4) under /run/homing/metrics,
 * where an exporter finds them. Called by the services; nothing listens for it. What is counted never names a
 * person: no address, no account.
 */
import { chmod, rename, rm, writeFile } from "node:fs/promises";
import type { Log } from "./log.ts";

/** A change is in the file after so long at the latest; an exporter is commonly asked that often. Milliseconds. */
const WRITE_EVERY_MS = 15_000;

/** Series of one name: labels have few fixed values. A service that makes more has put strangers' words into them. */
const MAX_SERIES = 100;

export type Labels = Readonly<Record<string, string>>;

export type Counter = Readonly<{ add(labels?: Labels, amount?: number): void }>;
export type Gauge = Readonly<{ set(value: number, labels?: Labels): void }>;
export type Histogram = Readonly<{ observe(value: number, labels?: Labels): void }>;

export type Counters = Readonly<{
  /** Only grows, and begins at 0 with the service. The name ends in `_total`. */
  counter(name: string, help: string): Counter;
  /** Goes up and down. */
  gauge(name: string, help: string): Gauge;
  /** How many values were at most each of `bounds`, in ascending order; also their sum and number. */
  histogram(name: string, help: string, bounds: readonly number[]): Histogram;
  /** The file's text as of now. */
  text(): string;
  /** Writes what is not yet written, and never again. */
  close(): Promise<void>;
}>;

/** A name, a label or a number of them that cannot be: a mistake of the program. */
export class CounterError extends Error {
  override name = "CounterError";
}

/** `series`: the value by what follows the family's name in the text. */
type Family = { help: string; type: "counter" | "gauge" | "histogram"; series: Map<string, number> };

/** @param path the file, in a directory that is there. A failed write is logged once and tried again later. */
export function createCounters(options: Readonly<{ path: string; log: Log; everyMs?: number }>): Counters {
  const { path, log, everyMs = WRITE_EVERY_MS } = options;
  const families = new Map<string, Family>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  let isClosed = false;
  let hasFailed = false;

  const text = () => [...families].map(([name, family]) => familyText(name, family)).join("");

  const write = async (): Promise<void> => {
    const aside = `${path}.new`;
    try {
      // All services write in that folder: a link or a file of another one that lies there is not written through.
      await rm(aside, { force: true });
      await writeFile(aside, text(), { flag: "wx" });
      // The services' umask hides their files from others.
      await chmod(aside, 0o644);
      await rename(aside, path);
      hasFailed = false;
    } catch (cause) {
      if (!hasFailed) log.error("cannot write the counters", { path }, cause);
      hasFailed = true;
    }
  };
  /** One write at a time: two would share the file aside. */
  const writeNext = (): Promise<void> => {
    writing = writing.then(write);
    return writing;
  };
  const noteChange = (): void => {
    if (isClosed || timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      void writeNext();
    }, everyMs);
    timer.unref();
  };

  const family = (name: string, type: Family["type"], help: string): Family => {
    if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new CounterError(`"${name}" is no name of a counter`);
    if (families.has(name)) throw new CounterError(`the counter ${name} is there already`);
    const made: Family = { help, type, series: new Map() };
    families.set(name, made);
    noteChange();
    return made;
  };
  const change = (name: string, { series }: Family, key: string, to: (old: number) => number) => {
    const old = series.get(key);
    if (old === undefined && series.size >= MAX_SERIES) {
      throw new CounterError(`${name} has ${MAX_SERIES} series already: labels may have few values only`);
    }
    const value = to(old ?? 0);
    if (value === old) return;
    series.set(key, value);
    noteChange();
  };

  return {
    counter: (name, help) => {
      if (!name.endsWith("_total"))
        throw new CounterError(`the name of the counter ${name} has to end in _total`);
      const made = family(name, "counter", help);
      return {
        add: (labels = {}, amount = 1) => {
          if (!(amount >= 0)) throw new CounterError(`${name} cannot grow by ${amount}`);
          change(name, made, labelText(labels), (old) => old + amount);
        },
      };
    },
    gauge: (name, help) => {
      const made = family(name, "gauge", help);
      return { set: (value, labels = {}) => change(name, made, labelText(labels), () => value) };
    },
    histogram: (name, help, bounds) => {
      if (bounds.some((bound, i) => i > 0 && !(bound > bounds[i - 1]!)))
        throw new CounterError(`the bounds of ${name} have to ascend`);
      const made = family(name, "histogram", help);
      const upTo = [...bounds, Number.POSITIVE_INFINITY];
      /** The keys of its series, by its labels: made once, for there is one for each bound. */
      const keysOf = new Map<string, readonly string[]>();
      return {
        observe: (value, labels = {}) => {
          const own = labelText(labels);
          let keys = keysOf.get(own);
          if (keys === undefined) {
            keys = upTo.map((bound) => `_bucket${labelText({ ...labels, le: boundText(bound) })}`);
            keysOf.set(own, keys);
          }
          for (const [i, key] of keys.entries())
            change(name, made, key, (old) => old + (value <= upTo[i]! ? 1 : 0));
          change(name, made, `_sum${own}`, (old) => old + value);
          change(name, made, `_count${own}`, (old) => old + 1);
        },
      };
    },
    text,
    close: () => {
      isClosed = true;
      clearTimeout(timer);
      return writeNext();
    },
  };
}

/** HELP, TYPE and a line for each series. In HELP backslashes and line feeds are escaped, in labels quotes as well. */
function familyText(name: string, { help, type, series }: Family): string {
  const escaped = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  const lines = [...series].map(([key, value]) => `${name}${key} ${value}\n`);
  return `# HELP ${name} ${escaped}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}

function boundText(bound: number): string {
  return bound === Number.POSITIVE_INFINITY ? "+Inf" : String(bound);
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new CounterError(`"${name}" is no name of a label`);
    const escaped = value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
    return `${name}="${escaped}"`;
  });
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
