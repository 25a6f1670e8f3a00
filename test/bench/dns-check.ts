/**
 * How long a check of a relay's records takes: `node installer/launch.mjs --script test/bench/dns-check.ts [MILLISECONDS]`
 * (the delay there and back to every name server and the resolver, 50 unless given). Real servers on the loopback; beside
 * it drill (ldnsutils) asked for the same record sets at the same servers, one after another, which compares nothing.
 * CPU of this process (the delaying lines are in it) and wall clock, medians of five runs. Markdown on stdout.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { recordSets, txtStrings } from "../../appliance/dns/record-set.ts";
import { dkimPublicKey, relayRecords } from "../../appliance/dns/records.ts";
import { checkDns } from "../../installer/dns/check.ts";
import { startDelayLine } from "../installer/dns/delay-line.ts";
import { addresses, missingServers, startSmallInternet } from "../installer/dns/name-servers.ts";
import { makeSigningKey } from "../support/mail.ts";
import { median } from "./tables.ts";

const RUNS = 5;
const domain = "far.test";
const far = ["127.0.0.23", "127.0.0.24"] as const;
const delay = Number(process.argv[2] ?? 50);

if (missingServers !== undefined) throw new Error(missingServers);
const publicKey = dkimPublicKey(makeSigningKey(domain, "homing1").privateKeyPem);
const records = relayRecords({
  ...{ domain, dkim: [{ selector: "homing1", publicKey }], addresses: ["11.22.33.44", "2a00::44"] },
});
const sets = recordSets(records);
const lines = sets.flatMap(({ name, type, values }) =>
  values.map((value) => `${name}. 300 ${type} ${type === "TXT" ? txtStrings(value).join(" ") : value}`),
);
const delegation = far.flatMap((address, index) => [
  `${domain}. 60 NS ns${index}.${domain}.`,
  `ns${index}.${domain}. 60 A ${address}`,
]);

/** Milliseconds of wall clock and of this process's CPU. */
async function measure(work: () => Promise<void>): Promise<{ wall: number; cpu: number }> {
  const runs: { wall: number; cpu: number }[] = [];
  for (let run = 0; run < RUNS; run++) {
    const [start, before] = [performance.now(), process.cpuUsage()];
    await work();
    const { user, system } = process.cpuUsage(before);
    runs.push({ wall: performance.now() - start, cpu: (user + system) / 1000 });
  }
  return { wall: median(runs.map(({ wall }) => wall)), cpu: median(runs.map(({ cpu }) => cpu)) };
}

const folder = await mkdtemp(join(tmpdir(), "homing-dns-bench-"));
try {
  await using internet = await startSmallInternet(folder, [
    { name: domain, records: lines, own: delegation, delegation },
  ]);
  await using stack = new AsyncDisposableStack();
  const { port, world } = internet;
  for (const [from, to] of [
    [far[0], addresses.first],
    [far[1], addresses.second],
  ] as const) {
    stack.use(await startDelayLine({ address: from, port }, { address: to, port }, delay));
  }
  stack.use(await startDelayLine({ address: "127.0.0.30", port }, world.resolvers[0]!, delay));
  const distant = { ...world, resolvers: [{ address: "127.0.0.30", port }] };
  const check = await measure(async () => {
    const report = await checkDns({ domain, records }, { world: distant });
    if (!report.works) throw new Error("the check failed");
  });
  const drill = await measure(async () => {
    for (const server of far) {
      for (const { name, type } of sets) {
        const asked = spawn("drill", ["-p", String(port), `@${server}`, name, type], { stdio: "ignore" });
        const [code] = await once(asked, "exit");
        if (code !== 0) throw new Error("drill failed");
      }
    }
  });
  const row = (what: string, { wall, cpu }: { wall: number; cpu: number }, own: boolean) =>
    `| ${what} | ${own ? cpu.toFixed(0) : "(other processes)"} | ${wall.toFixed(0)} |`;
  console.log(`${sets.length} record sets at ${far.length} servers, ${delay} ms there and back, load ${loadavg()[0]?.toFixed(1)}:

| | CPU, ms | wall clock, ms |
|---|---|---|
${row("`dns check`: zone, delegation, DNSSEC, all servers", check, true)}
${row("drill, the same sets one after another", drill, false)}`);
} finally {
  await rm(folder, { recursive: true });
}
