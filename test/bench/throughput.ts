/**
 * How many messages a relay carries: 20 people send 5 kB encrypted messages over TLS as fast as they are taken, to 20
 * who wait with IDLE, on one relay and across two. Run as root: `node installer/launch.mjs --script
 * test/bench/throughput.ts`. Prints Markdown tables; takes two minutes.
 *
 * Beside it in the same run: the same Postfix and Dovecot without the milter, which is what the filter and the DKIM
 * signatures cost. Clients and relays share the processors. The time ends when the last message was announced to
 * its recipient, so nothing counts that only waits in a queue.
 */
import { randomBytes } from "node:crypto";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { runPaths } from "../../appliance/layout.ts";
import { makeAccount } from "../support/accounts.ts";
import { type Idle, type ImapSession, openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { currentNamespace } from "../support/namespace.ts";
import { createTestNetwork } from "../support/network.ts";
import type { Relay } from "../support/relay.ts";
import { runWithRelays } from "../support/rootfs.ts";
import { openSubmission, type SmtpSession } from "../support/smtp-session.ts";
import { type CpuTimes, cpuShares, readCpuTimes } from "./cpu.ts";
import { type LoadResult, printMedians, printShares } from "./tables.ts";

const PAIRS = 20;
const ROUNDS = 3;
/** How long is sent, and before it for warmth. Milliseconds. */
const SENDING = 6000;
const WARM_UP = 1500;
/** A delivery that takes longer is a fault, not a figure. Milliseconds. */
const DELIVERY_TIMEOUT = 60_000;
/** Makes messages of 5 kB: encryption and base64 make four of three. */
const TEXT_BYTES = 2600;
/** The rate limit is not what is measured. */
const settings = { sending: { perMinute: 100_000, burst: 10_000 } };

/** One sender and one recipient with their open sessions. */
type Pair = {
  readonly from: string;
  readonly to: string;
  readonly source: string;
  readonly submission: SmtpSession;
  readonly inbox: ImapSession;
  readonly idle: Idle;
  /** Messages in the inbox, as last announced. */
  exists: number;
};

type Route = Readonly<{ title: string; from: Relay; to: Relay; cgroups: readonly string[] }>;

async function measure(): Promise<void> {
  await using network = await createTestNetwork("throughput");
  const a = await network.startRelay("_a.test", { settings });
  const b = await network.startRelay("_b.test", { settings });
  const { cgroup } = currentNamespace()!;
  const [first, second] = [join(cgroup, "relay0"), join(cgroup, "relay1")];
  const routes: readonly Route[] = [
    { title: "one relay", from: a, to: a, cgroups: [first] },
    { title: "two relays", from: a, to: b, cgroups: [first, second] },
  ];
  console.log(
    `\n${availableParallelism()} cores for relays and clients, load average before: ${loadavg()[0]!.toFixed(1)}`,
  );

  const results = new Map<string, LoadResult[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const withMilter of [false, true]) {
      for (const relay of [a, b]) await switchMilter(relay, withMilter);
      for (const route of routes) {
        const name = `${route.title}${withMilter ? "" : ", without the milter"}`;
        results.set(name, [...(results.get(name) ?? []), await measureRoute(route)]);
      }
    }
  }

  console.log(`\n### Messages of 5 kB, ${PAIRS} senders, medians of ${ROUNDS} runs of ${SENDING / 1000} s\n`);
  printMedians<LoadResult>(
    [
      ["messages/s", 0, (result) => result.perSecond],
      ["relay CPU ms/message", 2, (result) => result.relayCpu],
      ["client CPU ms/message", 2, (result) => result.clientCpu],
      ["cores used", 2, (result) => result.coresUsed],
    ],
    results,
  );
  for (const { title } of routes) {
    const runs = results.get(title)!.map((result) => result.shares);
    printShares(`CPU of ${title}`, "ms/message", runs);
  }
  console.log(`\nLoad average after: ${loadavg()[0]!.toFixed(1)}`);
}

/** Postfix with the milter as the relay has it, or with none. */
async function switchMilter(relay: Relay, on: boolean): Promise<void> {
  const milters = on ? `unix:${runPaths.milterSocket}` : "";
  await relay.exec(["postconf", "-e", `smtpd_milters=${milters}`]);
  await relay.exec(["systemctl", "reload", "postfix"]);
}

async function measureRoute(route: Route): Promise<LoadResult> {
  await using sessions = new AsyncDisposableStack();
  const pairs: Pair[] = [];
  for (let i = 0; i < PAIRS; i++) pairs.push(await openPair(route, sessions));
  await sendFor(pairs, WARM_UP);

  const before = await Promise.all(route.cgroups.map(readCpuTimes));
  const ownBefore = process.cpuUsage();
  const started = performance.now();
  const count = await sendFor(pairs, SENDING);
  const seconds = (performance.now() - started) / 1000;
  const own = process.cpuUsage(ownBefore);
  const after = await Promise.all(route.cgroups.map(readCpuTimes));

  const used = after.reduce((sum, times, i) => sum + times.total - before[i]!.total, 0);
  const ownUsed = (own.user + own.system) / 1000;
  return {
    perSecond: count / seconds,
    relayCpu: used / count,
    clientCpu: ownUsed / count,
    coresUsed: (used + ownUsed) / 1000 / seconds,
    shares: after.flatMap((times, i) =>
      sharesOf(before[i]!, times, count, route.cgroups.length > 1 ? i : undefined),
    ),
  };
}

function sharesOf(before: CpuTimes, after: CpuTimes, count: number, relay?: number): [string, number][] {
  const place = relay === undefined ? "" : [", sending", ", receiving"][relay]!;
  return cpuShares(before, after).map(([program, used]) => [`${program}${place}`, used / count]);
}

async function openPair({ from, to }: Route, sessions: AsyncDisposableStack): Promise<Pair> {
  const [sender, receiver] = [await makeAccount(from), await makeAccount(to)];
  const submission = sessions.use(await openSubmission(from.address, sender.address, sender.password));
  const inbox = sessions.use(await openInbox(to.address, receiver.address, receiver.password));
  const text = randomBytes(TEXT_BYTES / 2).toString("hex");
  const source = await encryptedMail({ from: sender.address, to: receiver.address }, text);
  const idle = await inbox.idle();
  return { from: sender.address, to: receiver.address, source, submission, inbox, idle, exists: 0 };
}

/** Sends from all pairs at once until the time is over and waits for all arrivals; gives the number of messages. */
async function sendFor(pairs: readonly Pair[], milliseconds: number): Promise<number> {
  const end = performance.now() + milliseconds;
  const counts = await Promise.all(
    pairs.map(async (pair) => {
      let sent = 0;
      while (performance.now() < end) {
        // The same message would be delivered once.
        const source = pair.source.replace(/^Message-ID: </m, `$&${sent}.${end}.`);
        const { code, text } = await pair.submission.send({ from: pair.from, to: [pair.to], source });
        if (code !== 250) throw new Error(`refused: ${code} ${text}`);
        sent += 1;
      }
      await waitForArrivals(pair, pair.exists + sent);
      return sent;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

async function waitForArrivals(pair: Pair, expected: number): Promise<void> {
  const late = performance.now() + DELIVERY_TIMEOUT;
  while (pair.exists < expected) {
    if (performance.now() > late)
      throw new Error(`${pair.to} has ${pair.exists} messages, awaited were ${expected}`);
    pair.exists = (await pair.idle.next()).exists;
  }
}

if (currentNamespace() === undefined)
  process.exitCode = await runWithRelays([process.execPath, import.meta.filename]);
else await measure();
