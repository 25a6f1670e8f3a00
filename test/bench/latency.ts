/**
 * How long people wait: from sending a message to its arrival, on one relay and across two, and to an account.
 * Run as root: `node test/bench/latency.ts`. Prints Markdown tables; takes five minutes.
 *
 * Plain SMTP and IMAP sessions show what the relays need, and their logs where the milliseconds go (message-stages.ts);
 * real Delta Chat cores show what people see, encryption and decryption included.
 */
import { loadavg } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { SMTP_FAILS_WITHIN_MS } from "../../services/transport/destinations.ts";
import { makeAccount } from "../support/accounts.ts";
import { type Client, createClient, secureJoin } from "../support/client.ts";
import { openInbox } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { type Sending, stagesOf } from "../support/message-stages.ts";
import { currentNamespace } from "../support/namespace.ts";
import { createTestNetwork } from "../support/network.ts";
import type { Relay } from "../support/relay.ts";
import { runWithRelays } from "../support/rootfs.ts";
import { openSubmission } from "../support/smtp-session.ts";

const MESSAGES = 40;
const CORE_MESSAGES = 20;
const CORE_CLIENTS = 8;
/** Between two messages, so that one is not measured in the wake of the other. Milliseconds. */
const PAUSE = 150;
/** For so long Postfix's queue manager remembers the way of the last recipient, and the relay where it was known. */
const WAY_KEPT = 35_000;
/** A core sends one message a second after a burst of three; more often, its own patience is measured. */
const CORE_PAUSE = 1500;
/** The rate limit is not what is measured. */
const settings = { sending: { perMinute: 6000, burst: 1000 } };

async function measure(): Promise<void> {
  await using network = await createTestNetwork("latency");
  const a = await network.startRelay("_a.test", { settings });
  const b = await network.startRelay("_b.test", { settings });
  console.log(`\nLoad average of this machine: ${loadavg()[0]!.toFixed(1)}`);

  console.log(`\n### From SMTP to IMAP IDLE, ${MESSAGES} messages (ms)\n`);
  await printStages("one relay", a, a);
  await printStages("two relays, by HTTPS", a, b);
  // As a mail server that has no HTTPS: until the first relay has learned so, each message tries.
  await b.exec("nft insert rule inet homing input tcp dport 443 reject with tcp reset");
  // Nor has one that is kept open been cut in the middle of a message.
  await a.exec("systemctl restart homing-courier.service");
  await printStages("two relays, HTTPS gone, the first message", a, b, 1);
  await delay(WAY_KEPT);
  await printStages("two relays, by SMTP, at first", a, b);
  await delay(SMTP_FAILS_WITHIN_MS);
  await printStages("two relays, by SMTP, when that is known", a, b);
  await b.exec("systemctl restart nftables.service");

  console.log("\n### Delta Chat cores (ms)\n");
  printHeader();
  await using clients = new AsyncDisposableStack();
  const onboard = async (relay: Relay, name: string) => {
    const client = clients.use(await createClient(name));
    const { milliseconds } = await client.onboard(`dcaccount:${relay.domain}`);
    return { client, milliseconds };
  };
  const joined: { client: Client; milliseconds: number }[] = [];
  for (let i = 0; i < CORE_CLIENTS; i++) joined.push(await onboard(i % 2 === 0 ? a : b, `client${i}`));
  printRow(
    "onboarding",
    joined.map(({ milliseconds }) => milliseconds),
  );
  const [alice, bob, carol] = [joined[0]!.client, joined[1]!.client, joined[2]!.client];
  printRow("securejoin, two relays", [await converse("two relays", alice, bob)]);
  printRow("securejoin, one relay", [await converse("one relay", alice, carol)]);
}

/** Sends messages from an account of one relay to one of the other and prints how long each stage took. */
async function printStages(title: string, from: Relay, to: Relay, messages = MESSAGES): Promise<void> {
  const [sender, receiver] = [await makeAccount(from), await makeAccount(to)];
  await using submission = await openSubmission(from.address, sender.address, sender.password);
  await using inbox = await openInbox(to.address, receiver.address, receiver.password);
  const idle = await inbox.idle();
  const sendings: Sending[] = [];
  for (let i = 0; i < messages; i++) {
    const source = await encryptedMail({ from: sender.address, to: receiver.address });
    await delay(PAUSE);
    const arrival = idle.next();
    const started = performance.now();
    const reply = await submission.send({ from: sender.address, to: [receiver.address], source });
    if (reply.code !== 250) throw new Error(`refused: ${reply.code} ${reply.text}`);
    const accepted = performance.now();
    const arrived = (await arrival).at;
    const epoch = performance.timeOrigin;
    sendings.push({ started: started + epoch, accepted: accepted + epoch, arrived: arrived + epoch });
  }
  await idle.done();
  printHeader(title);
  for (const [stage, times] of await stagesOf(sendings, { from, to, sender, receiver }))
    printRow(stage, times);
  console.log("");
}

/** Lets two cores meet and write to each other; prints the times to arrival, gives that of the meeting. */
async function converse(title: string, inviter: Client, joiner: Client): Promise<number> {
  const { joinerChat, milliseconds } = await secureJoin(inviter, joiner);
  const times: number[] = [];
  for (let i = 0; i < CORE_MESSAGES; i++) {
    await delay(CORE_PAUSE);
    const arrival = inviter.waitForEvent("IncomingMsg");
    const started = performance.now();
    await joiner.sendText(joinerChat, `message ${i}`);
    times.push((await arrival).at - started);
  }
  printRow(`send → arrival, ${title}`, times);
  return milliseconds;
}

function printHeader(title = ""): void {
  console.log(`| ${title.padEnd(44)} |  p10 |  p50 |  p90 |`);
  console.log(`|${"-".repeat(46)}|-----:|-----:|-----:|`);
}

function printRow(name: string, times: readonly number[]): void {
  const sorted = [...times].sort((x, y) => x - y);
  const shown = [0.1, 0.5, 0.9].map((quantile) =>
    sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))]!.toFixed(0).padStart(4),
  );
  console.log(`| ${name.padEnd(44)} | ${shown.join(" | ")} |`);
}

if (currentNamespace() === undefined)
  process.exitCode = await runWithRelays([process.execPath, import.meta.filename]);
else await measure();
