/**
 * What the door of the mailboxes costs a delivery: CPU of the relay and time from sending to IMAP IDLE, with Postfix
 * delivering through it and, in the same run, straight to Dovecot. Run as root: `node installer/launch.mjs --script
 * test/bench/door.ts`. Prints a Markdown table; takes a minute.
 */
import { randomBytes } from "node:crypto";
import { loadavg } from "node:os";
import { join } from "node:path";
import { runPaths } from "../../appliance/layout.ts";
import { type Account, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { currentNamespace } from "../support/namespace.ts";
import { createTestNetwork } from "../support/network.ts";
import type { Relay } from "../support/relay.ts";
import { runWithRelays } from "../support/rootfs.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { readCpuTimes } from "./cpu.ts";
import { median, printMedians } from "./tables.ts";

const MESSAGES = 100;
const WARM_UP = 20;
const ROUNDS = 3;
/** Makes messages of 5 kB: encryption and base64 make four of three. */
const TEXT_BYTES = 2600;
/** The rate limit is not what is measured. */
const settings = { sending: { perMinute: 100_000, burst: 10_000 } };

const ways = {
  "through the door": runPaths.doorSocket,
  "straight to Dovecot": runPaths.dovecotLmtp,
} as const;

type Result = Readonly<{ relayCpu: number; doorCpu: number; p50: number; p90: number }>;

async function measure(): Promise<void> {
  await using network = await createTestNetwork("door bench");
  const relay = await network.startRelay("_a.test", { settings });
  const [sender, receiver] = [await makeAccount(relay), await makeAccount(relay)];
  // Dovecot's socket is the door's alone.
  await relay.exec(["chmod", "666", runPaths.dovecotLmtp]);
  console.log(`\nLoad average before: ${loadavg()[0]!.toFixed(1)}\n`);
  const results = new Map<string, Result[]>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, path] of Object.entries(ways)) {
      await relay.exec(["postconf", "-e", `local_transport=lmtp:unix:${path}`]);
      await relay.exec(["systemctl", "reload", "postfix"]);
      await send(relay, sender, receiver, WARM_UP);
      results.set(name, [...(results.get(name) ?? []), await measureWay(relay, sender, receiver)]);
    }
  }
  printMedians<Result>(
    [
      ["relay CPU ms/message", 2, ({ relayCpu }) => relayCpu],
      ["of it the door", 2, ({ doorCpu }) => doorCpu],
      ["send → IDLE p50 ms", 1, ({ p50 }) => p50],
      ["p90 ms", 1, ({ p90 }) => p90],
    ],
    results,
  );
  console.log(`\nLoad average after: ${loadavg()[0]!.toFixed(1)}`);
}

async function measureWay(relay: Relay, sender: Account, receiver: Account): Promise<Result> {
  const cgroup = join(currentNamespace()!.cgroup, "relay0");
  const before = await readCpuTimes(cgroup);
  const times = (await send(relay, sender, receiver, MESSAGES)).sort((x, y) => x - y);
  const after = await readCpuTimes(cgroup);
  const doorOf = ({ units }: typeof before) => units.get("homing-courier.service") ?? 0;
  return {
    relayCpu: (after.total - before.total) / MESSAGES,
    doorCpu: (doorOf(after) - doorOf(before)) / MESSAGES,
    p50: median(times),
    p90: times[Math.floor(times.length * 0.9)]!,
  };
}

/** Sends one after the other has arrived; gives how long each took. */
async function send(relay: Relay, from: Account, to: Account, count: number): Promise<number[]> {
  await using submission = await openSubmission(relay.address, from.address, from.password);
  await using inbox = await openInbox(relay.address, to.address, to.password);
  const idle = await inbox.idle();
  const text = randomBytes(TEXT_BYTES / 2).toString("hex");
  const mail = await encryptedMail({ from: from.address, to: to.address }, text);
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const source = mail.replace(/^Message-ID: </m, `$&${i}.`);
    const arrival = idle.next();
    const started = performance.now();
    const { code, text: reply } = await submission.send({ from: from.address, to: [to.address], source });
    if (code !== 250) throw new Error(`refused: ${code} ${reply}`);
    times.push((await arrival).at - started);
  }
  await idle.done();
  return times;
}

if (currentNamespace() === undefined)
  process.exitCode = await runWithRelays([process.execPath, import.meta.filename]);
else await measure();
