import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createCounters } from "../../../services/lib/counters.ts";
import { createLog } from "../../../services/lib/log.ts";
import { waitFor } from "../../support/wait.ts";

describe("counters", () => {
  let folder: string;
  let path: string;
  const lines: string[] = [];
  const log = createLog((line) => lines.push(line), false);
  beforeEach(async () => {
    lines.length = 0;
    folder = await mkdtemp(join(tmpdir(), "homing-counters-"));
    path = join(folder, "mux.prom");
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("are written in Prometheus' text format", async () => {
    const counters = createCounters({ path, log });
    const taken = counters.counter("homing_taken_total", "What was taken,\nand how\\where.");
    const open = counters.gauge("homing_open", "What is open.");
    taken.add({ by: "imap", how: 'a"b\\c\nd' });
    taken.add({ by: "web", how: "x" }, 3);
    taken.add({ by: "web", how: "x" });
    open.set(7);
    open.set(5);
    await counters.close();
    expect(await readFile(path, "utf8")).toBe(
      "# HELP homing_taken_total What was taken,\\nand how\\\\where.\n" +
        "# TYPE homing_taken_total counter\n" +
        'homing_taken_total{by="imap",how="a\\"b\\\\c\\nd"} 1\n' +
        'homing_taken_total{by="web",how="x"} 4\n' +
        "# HELP homing_open What is open.\n" +
        "# TYPE homing_open gauge\n" +
        "homing_open 5\n",
    );
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    expect(await readdir(folder)).toEqual(["mux.prom"]);
  });

  it("have histograms, whose buckets hold all that is at most as large", async () => {
    const counters = createCounters({ path, log });
    const seconds = counters.histogram("homing_seconds", "How long.", [0.1, 1]);
    for (const value of [0.05, 0.1, 0.5, 7]) seconds.observe(value, { door: "mx" });
    expect(counters.text()).toBe(
      "# HELP homing_seconds How long.\n" +
        "# TYPE homing_seconds histogram\n" +
        'homing_seconds_bucket{door="mx",le="0.1"} 2\n' +
        'homing_seconds_bucket{door="mx",le="1"} 3\n' +
        'homing_seconds_bucket{door="mx",le="+Inf"} 4\n' +
        'homing_seconds_sum{door="mx"} 7.65\n' +
        'homing_seconds_count{door="mx"} 4\n',
    );
    expect(() => counters.histogram("homing_other", "x", [1, 1])).toThrow("have to ascend");
    await counters.close();
  });

  it("are written a while after a change, and not without one", async () => {
    const counters = createCounters({ path, log, everyMs: 20 });
    const taken = counters.counter("homing_taken_total", "x");
    taken.add();
    const read = () => readFile(path, "utf8").catch(() => "");
    await waitFor("the first file", 5000, async () => (await read()).includes("homing_taken_total 1\n"));
    const { mtimeMs, ino } = await stat(path);
    taken.add({}, 0);
    taken.add();
    await waitFor("the second file", 5000, async () => (await read()).includes("homing_taken_total 2\n"));
    expect((await stat(path)).ino === ino && (await stat(path)).mtimeMs === mtimeMs).toBe(false);
    await counters.close();
  });

  it("go on when the file cannot be written, say so once, and are written when it can be", async () => {
    await mkdir(`${path}.new`);
    const counters = createCounters({ path, log, everyMs: 5 });
    const open = counters.gauge("homing_open", "x");
    let value = 0;
    await waitFor("the complaint", 5000, async () => {
      open.set(++value);
      return lines.length > 0;
    });
    await rm(`${path}.new`, { recursive: true });
    await waitFor("the file", 5000, async () => {
      open.set(++value);
      return readFile(path, "utf8").catch(() => false as const);
    });
    await counters.close();
    expect(await readFile(path, "utf8")).toContain(`homing_open ${value}\n`);
    expect(lines.filter((line) => line.includes("cannot write the counters"))).toHaveLength(1);
  });

  it("are written through no link that another service made", async () => {
    await writeFile(`${path}.other`, "of another service");
    await symlink(`${path}.other`, `${path}.new`);
    const counters = createCounters({ path, log });
    counters.counter("homing_taken_total", "x").add();
    await counters.close();
    expect(await readFile(path, "utf8")).toContain("homing_taken_total 1\n");
    expect(await readFile(`${path}.other`, "utf8")).toBe("of another service");
  });

  it("refuse names that Prometheus does not know, doubles, shrinking and labels without end", () => {
    const counters = createCounters({ path, log });
    const taken = counters.counter("homing_taken_total", "x");
    expect(() => counters.counter("homing taken_total", "x")).toThrow("no name");
    expect(() => counters.counter("homing_taken", "x")).toThrow("_total");
    expect(() => counters.gauge("homing_taken_total", "x")).toThrow("already");
    expect(() => taken.add({ "a-b": "c" })).toThrow("label");
    expect(() => taken.add({}, -1)).toThrow("grow");
    expect(() => {
      for (let i = 0; i < 200; i++) taken.add({ stranger: String(i) });
    }).toThrow("100 series");
  });
});
