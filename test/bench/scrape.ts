/**
 * What a question of Prometheus costs a relay: processor time of services/metrics and Dovecot's stats process, wall clock,
 * memory and size of the answer, with several thousand IMAP commands counted; beside prometheus-node-exporter where it is
 * installed, which tells of the machine alone. Run as root: `node installer/launch.mjs --script test/bench/scrape.ts`.
 * Prints a Markdown table; takes a minute.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";
import { metricsListen } from "../../appliance/layout.ts";
import { makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { currentNamespace } from "../support/namespace.ts";
import { createTestNetwork } from "../support/network.ts";
import { cpuSecondsOf } from "../support/process-cpu.ts";
import { runWithRelays } from "../support/rootfs.ts";
import { waitFor } from "../support/wait.ts";
import { type CpuTimes, readCpuTimes } from "./cpu.ts";
import { median, printMedians } from "./tables.ts";

const SCRAPES = 100;
const WARM_UP = 50;
const ROUNDS = 3;
const NODE_EXPORTER = "prometheus-node-exporter";
const NODE_EXPORTER_PORT = 9100;

type Result = Readonly<{
  cpu: number;
  dovecot: number;
  p50: number;
  p90: number;
  kilobytes: number;
  pss: number;
}>;

async function measure(): Promise<void> {
  await using network = await createTestNetwork("scrape bench");
  const relay = await network.startRelay("_a.test", { settings: { metrics: { network: true } } });
  const account = await makeAccount(relay);
  await using inbox = await openInbox(relay.address, account.address, account.password);
  for (const command of ["NOOP", "CHECK", "CAPABILITY", "NAMESPACE", "STATUS INBOX (MESSAGES)", 'LIST "" *'])
    for (let i = 0; i < 200; i++) await inbox.command(command);
  const cgroup = join(currentNamespace()!.cgroup, "relay0");
  const url = `http://${relay.address}:${metricsListen.port}/metrics`;
  const results = new Map<string, Result[]>();
  const add = (name: string, result: Result) => results.set(name, [...(results.get(name) ?? []), result]);
  console.log(`\nLoad average before: ${loadavg()[0]!.toFixed(1)}\n`);

  const started = performance.now();
  await scrape(url);
  const first = performance.now() - started;
  await scrapes(url, WARM_UP);
  for (let round = 0; round < ROUNDS; round++) {
    const before = await readCpuTimes(cgroup);
    const times = await scrapes(url, SCRAPES);
    const after = await readCpuTimes(cgroup);
    const own = (at: CpuTimes) => at.units.get("homing-metrics.service") ?? 0;
    const stats = ({ processes }: CpuTimes) =>
      [...processes.values()]
        .filter(({ unit, name }) => unit === "dovecot.service" && name === "stats")
        .reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    const pid = [...after.processes]
      .find(([, { unit }]) => unit === "homing-metrics.service")![0]
      .split(" ")[0]!;
    add("services/metrics", {
      cpu: (own(after) - own(before)) / SCRAPES,
      dovecot: (stats(after) - stats(before)) / SCRAPES,
      ...(await figures(url, times, Number(pid))),
    });
  }
  if (spawnSync(NODE_EXPORTER, ["--version"]).status === 0) {
    const rival = spawn(NODE_EXPORTER, [`--web.listen-address=127.0.0.1:${NODE_EXPORTER_PORT}`], {
      stdio: "ignore",
    });
    try {
      await measureRival(rival, (result) => add(NODE_EXPORTER, result));
    } finally {
      rival.kill();
    }
  }
  printMedians<Result>(
    [
      ["CPU ms/scrape", 2, ({ cpu }) => cpu],
      ["of Dovecot's stats besides", 2, ({ dovecot }) => dovecot],
      ["p50 ms", 1, ({ p50 }) => p50],
      ["p90 ms", 1, ({ p90 }) => p90],
      ["kB", 1, ({ kilobytes }) => kilobytes],
      ["PSS MB", 1, ({ pss }) => pss],
    ],
    results,
  );
  console.log(`\nThe first scrape, which starts the service: ${first.toFixed(0)} ms.`);
  console.log(`Load average after: ${loadavg()[0]!.toFixed(1)}`);
}

async function measureRival(rival: ChildProcess, add: (result: Result) => void): Promise<void> {
  const url = `http://127.0.0.1:${NODE_EXPORTER_PORT}/metrics`;
  await waitFor(`${NODE_EXPORTER} answers`, 10_000, async () => (await scrape(url).catch(() => 0)) > 0);
  await scrapes(url, WARM_UP);
  for (let round = 0; round < ROUNDS; round++) {
    const before = await cpuSecondsOf(rival.pid!);
    const times = await scrapes(url, SCRAPES);
    const cpu = ((await cpuSecondsOf(rival.pid!)) - before) * 1000;
    add({ cpu: cpu / SCRAPES, dovecot: 0, ...(await figures(url, times, rival.pid!)) });
  }
}

async function figures(url: string, times: readonly number[], pid: number) {
  const sorted = [...times].sort((x, y) => x - y);
  const pss = /^Pss:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
  return {
    p50: median(sorted),
    p90: sorted[Math.floor(sorted.length * 0.9)]!,
    kilobytes: (await scrape(url)) / 1000,
    pss: Number(pss) / 1024,
  };
}

/** One after the other, over connections that are kept; the milliseconds of each. */
async function scrapes(url: string, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    await scrape(url);
    times.push(performance.now() - started);
  }
  return times;
}

/** Bytes of the answer. */
async function scrape(url: string): Promise<number> {
  const answer = await fetch(url, {
    headers: { accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" },
  });
  if (!answer.ok) throw new Error(`the scrape was answered with ${answer.status}`);
  return (await answer.arrayBuffer()).byteLength;
}

if (currentNamespace() === undefined)
  process.exitCode = await runWithRelays([process.execPath, import.meta.filename]);
else await measure();
