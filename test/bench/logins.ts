/**
 * How many new people a relay can take in: first logins over TLS, 40 at once, each making its account. Run as root:
 * `node installer/launch.mjs --script test/bench/logins.ts`. Prints Markdown tables; takes a minute and a half.
 *
 * The rival is Dovecot with the process settings it comes with, on the same relay in the same run. Clients and relay
 * share the processors, as the table of times says; what the relay itself needs for a login is the figure to compare.
 */
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { inventAccount } from "../support/accounts.ts";
import { openImap } from "../support/imap-session.ts";
import { currentNamespace } from "../support/namespace.ts";
import { addClientAddresses, createTestNetwork } from "../support/network.ts";
import type { Relay } from "../support/relay.ts";
import { runWithRelays } from "../support/rootfs.ts";
import { waitFor } from "../support/wait.ts";
import { cpuShares, readCpuTimes } from "./cpu.ts";
import { type LoadResult, printMedians, printShares } from "./tables.ts";

const CLIENTS = 40;
const ROUNDS = 3;
/** What is measured, and what runs before it so that nothing is measured cold. Milliseconds. */
const MEASURED = 6000;
const WARM_UP = 1500;
const START_TIMEOUT = 20_000;

/** What Dovecot 2.4.1 does unless told otherwise (doveconf -d), as far as our settings differ. */
const stockProcesses = `
service imap-login {
  process_limit = 100
  process_min_avail = 0
  restart_request_count = 1
}
service imap {
  process_min_avail = 0
  restart_request_count = 1
}
`;

type Variant = Readonly<{
  name: string;
  /** Lines at the end of dovecot.conf: the last word counts. */
  settings: string;
  /** IMAP commands between LOGIN and LOGOUT. */
  commands: readonly string[];
}>;

const variants: readonly Variant[] = [
  { name: "Dovecot's own process settings", settings: stockProcesses, commands: [] },
  { name: "the relay", settings: "", commands: [] },
  { name: "the relay, INBOX made and opened too", settings: "", commands: ["SELECT INBOX"] },
];

/** Milliseconds of a login. */
type Result = LoadResult & Readonly<{ p50: number; p90: number }>;

async function measure(): Promise<void> {
  await using network = await createTestNetwork("logins");
  const relay = await network.startRelay("_a.test");
  // The firewall counts new connections by address, and these are many people.
  const addresses = await addClientAddresses(CLIENTS);
  const configuration = (await relay.exec(["cat", "/etc/dovecot/dovecot.conf"])).stdout;
  console.log(
    `\n${availableParallelism()} cores for relay and clients, load average before: ${loadavg()[0]!.toFixed(1)}`,
  );

  const results = new Map<Variant, Result[]>(variants.map((variant) => [variant, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [variant, found] of results) {
      const logins = { relay, addresses, commands: variant.commands };
      await configureDovecot(logins, configuration + variant.settings);
      await logInFor(logins, WARM_UP);
      found.push(await measureLogins(logins));
    }
  }

  console.log(`\n### First logins, ${CLIENTS} at once, medians of ${ROUNDS} runs of ${MEASURED / 1000} s\n`);
  printMedians<Result>(
    [
      ["logins/s", 0, (result) => result.perSecond],
      ["p50 ms", 0, (result) => result.p50],
      ["p90 ms", 0, (result) => result.p90],
      ["relay CPU ms/login", 2, (result) => result.relayCpu],
      ["client CPU ms/login", 2, (result) => result.clientCpu],
      ["cores used", 2, (result) => result.coresUsed],
    ],
    [...results].map(([{ name }, found]) => [name, found]),
  );
  for (const [{ name }, found] of results) {
    printShares(
      `CPU of ${name}`,
      "ms/login",
      found.map((result) => result.shares),
    );
  }
  console.log(`\nLoad average after: ${loadavg()[0]!.toFixed(1)}`);
}

type Logins = Readonly<{ relay: Relay; addresses: readonly string[]; commands: readonly string[] }>;

async function configureDovecot(logins: Logins, text: string): Promise<void> {
  const { relay } = logins;
  await relay.exec("cat > /etc/dovecot/dovecot.conf", { input: text });
  await relay.exec(["systemctl", "restart", "dovecot"]);
  await waitFor("a first login", START_TIMEOUT, async () => {
    await logIn(logins, logins.addresses[0]!);
    return true;
  });
}

async function measureLogins(logins: Logins): Promise<Result> {
  const cgroup = join(currentNamespace()!.cgroup, "relay0");
  const before = await readCpuTimes(cgroup);
  const ownBefore = process.cpuUsage();
  const started = performance.now();
  const times = await logInFor(logins, MEASURED);
  const seconds = (performance.now() - started) / 1000;
  const own = process.cpuUsage(ownBefore);
  const after = await readCpuTimes(cgroup);
  const count = times.length;
  const relayCpu = (after.total - before.total) / count;
  const clientCpu = (own.user + own.system) / 1000 / count;
  return {
    perSecond: count / seconds,
    p50: times[Math.floor(count * 0.5)]!,
    p90: times[Math.floor(count * 0.9)]!,
    relayCpu,
    clientCpu,
    coresUsed: ((relayCpu + clientCpu) * count) / 1000 / seconds,
    shares: cpuShares(before, after).map(([program, used]) => [program, used / count]),
  };
}

/** All clients log in, one first login after the other, until the time is over; how long each took, sorted. */
async function logInFor(logins: Logins, milliseconds: number): Promise<number[]> {
  const end = performance.now() + milliseconds;
  const times: number[] = [];
  await Promise.all(
    logins.addresses.map(async (address) => {
      while (performance.now() < end) {
        const started = performance.now();
        await logIn(logins, address);
        times.push(performance.now() - started);
      }
    }),
  );
  return times.sort((x, y) => x - y);
}

/** @throws Error when the relay refuses: a bench in which logins fail measures nothing. */
async function logIn({ relay, commands }: Logins, localAddress: string): Promise<void> {
  const account = inventAccount(relay.domain);
  await using session = await openImap(relay.address, 993, { localAddress });
  for (const line of [`LOGIN "${account.address}" "${account.password}"`, ...commands, "LOGOUT"]) {
    const { status, text } = await session.command(line);
    if (status !== "OK") throw new Error(`${line.split(" ")[0]} refused: ${status} ${text}`);
  }
}

if (currentNamespace() === undefined)
  process.exitCode = await runWithRelays([process.execPath, import.meta.filename]);
else await measure();
