/**
 * What the milter costs, beside OpenDKIM signing alone: `node installer/launch.mjs --script test/bench/filter.ts`.
 * Prints a Markdown table: CPU per message first, medians of three runs. Each load ends after LOAD_MS at most.
 *
 * With `--flat [N]` instead: memory over N messages of 10 MB. BENCH_NODE_FLAGS holds further flags for the service's
 * Node, such as --cpu-prof. OpenDKIM comes from Debian (`apt-get install opendkim`); without it its rows say so.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { milterNode } from "../../appliance/files/units.ts";
import { parseRelayConfig } from "../../appliance/relay-config.ts";
import { bundlePrograms } from "../../image/rootfs/runtime.ts";
import { createHeaderList } from "../../services/milter/header-field.ts";
import { createJudge } from "../../services/milter/judge.ts";
import { splitMessage } from "../services/milter/milter-client.ts";
import { encryptedMail, makeSigningKey, plainMail } from "../support/mail.ts";
import { waitFor } from "../support/wait.ts";
import { type Load, sendLoad, usage } from "./milter-load.ts";

const RUNS = 3;
/** A load ends after this, finished or not. */
const LOAD_MS = 15_000;
/** With --flat: how many messages of 10 MB unless it is said, and when it ends whatever is left. */
const FLAT_MESSAGES = 1000;
const FLAT_MS = 150_000;
const CONNECTIONS = 8;
const [small, large] = [5000, 10_000_000];
const domain = "bench.test";
const sender = `alice1234@${domain}`;
const recipient = "bobby1234@other.test";
const key = makeSigningKey(domain, "homing1");
/** The rate limit is not what is measured. */
const settings = `domain = "${domain}"\n[sending]\nper_minute = 100000\nburst = 100000\n`;

type Row = Readonly<{ what: string; cpuMs: number; perSecond: number; peakMb: number | null; note: string }>;

async function main(): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "homing-filter-"));
  try {
    console.log(`Load average of this machine: ${loadavg()[0]!.toFixed(1)}, Node ${process.version}\n`);
    if (process.argv[2] === "--flat") await measureFlat(work, Number(process.argv[3] ?? FLAT_MESSAGES));
    else printRows(await measure(work));
  } finally {
    await rm(work, { recursive: true });
  }
}

async function measure(work: string): Promise<Row[]> {
  const [mail, largeMail] = [await mailOf(small), await mailOf(large)];
  const plain = plainMail({ from: sender, to: recipient }, "x".repeat(76).concat("\r\n").repeat(60));
  const rows = [await check("check of a 5 kB mail (in process)", mail)];
  const load = { messages: 4000, connections: CONNECTIONS, limitMs: LOAD_MS, daemon: "submission" };
  const largeLoad = { ...load, messages: 64 };
  {
    await using service = await startService(work);
    rows.push(await run("5 kB, checked and signed, 8 connections", service, mail, load, "ci"));
    rows.push(await run("10 MB, checked and signed, 8 at once", service, largeMail, largeLoad, "ci"));
  }
  {
    await using service = await startService(work);
    rows.push(
      await run("plain text refused, 8 connections", service, plain, { ...load, messages: 20_000 }, "y523"),
    );
  }
  if (!existsSync(openDkim)) {
    console.error(`${openDkim} is missing: apt-get install opendkim`);
    return rows;
  }
  await using rival = await startOpenDkim(work);
  rows.push(await run("OpenDKIM: 5 kB, signed only", rival, mail, load, "ai"));
  rows.push(await run("OpenDKIM: 10 MB, signed only", rival, largeMail, largeLoad, "ai"));
  return rows;
}

/** The judgement alone, as session.ts makes it: fields, then the body in one piece. */
async function check(what: string, text: string): Promise<Row> {
  const { fields, body } = splitMessage(Buffer.from(text), true);
  const rounds = 10_000;
  const judge = () => {
    const header = createHeaderList();
    for (const [name, value] of fields) header.add(name, value);
    const judge = createJudge({ ...header, allowArmorVersion: false });
    judge.write(body);
    if (judge.end().kind !== "encrypted") throw new Error("the mail was not taken for encrypted");
  };
  for (let round = 0; round < rounds; round++) judge();
  const results = Array.from({ length: RUNS }, () => {
    const before = process.cpuUsage();
    const started = performance.now();
    for (let round = 0; round < rounds; round++) judge();
    const { user, system } = process.cpuUsage(before);
    return {
      cpuMs: (user + system) / 1000 / rounds,
      perSecond: (rounds / (performance.now() - started)) * 1000,
    };
  });
  return { what, ...medians(results), peakMb: null, note: "" };
}

/** Sends the load RUNS times, after one warm-up. Throws when a message got another answer than `expected`. */
async function run(what: string, peer: Peer, text: string, load: Load, expected: string): Promise<Row> {
  const message = { from: `<${sender}>`, to: [`<${recipient}>`], login: sender, text };
  await sendLoad(peer.socket, message, { ...load, messages: Math.ceil(load.messages / 4) });
  const results: { cpuMs: number; perSecond: number }[] = [];
  for (let number = 0; number < RUNS; number++) {
    const before = usage(peer.processId).cpuSeconds;
    const { answers, seconds } = await sendLoad(peer.socket, message, load);
    const count = answers.get(expected) ?? 0;
    if (answers.size !== 1 || count === 0) throw new Error(`${what}: ${JSON.stringify([...answers])}`);
    const cpuMs = ((usage(peer.processId).cpuSeconds - before) * 1000) / count;
    results.push({ cpuMs, perSecond: count / seconds });
  }
  const { peakBytes, residentBytes } = usage(peer.processId);
  const note = `${(residentBytes / 1e6).toFixed(0)} MB after it`;
  return { what, ...medians(results), peakMb: peakBytes / 1e6, note };
}

/** Resident memory after each tenth of `count` large messages, with twenty small ones for each. */
async function measureFlat(work: string, count: number): Promise<void> {
  const envelope = { from: `<${sender}>`, to: [`<${recipient}>`], login: sender };
  const [mail, largeMail] = [await mailOf(small), await mailOf(large)];
  await using service = await startService(work);
  const started = performance.now();
  console.log("| messages of 10 MB | of 5 kB | resident | at most |\n|---|---|---|---|");
  const sent = { large: 0, small: 0 };
  const send = async (text: string, messages: number): Promise<number> => {
    const limitMs = FLAT_MS - (performance.now() - started);
    if (limitMs < 0) throw new Error("the time was up");
    const load = { messages, connections: CONNECTIONS, limitMs, daemon: "submission" };
    const { answers } = await sendLoad(service.socket, { ...envelope, text }, load);
    return answers.get("ci") ?? 0;
  };
  for (let tenth = 0; tenth < 10; tenth++) {
    sent.large += await send(largeMail, count / 10);
    sent.small += await send(mail, count * 2);
    const { residentBytes, peakBytes } = usage(service.processId);
    const [resident, most] = [residentBytes, peakBytes].map((bytes) => `${(bytes / 1e6).toFixed(0)} MB`);
    console.log(`| ${sent.large} | ${sent.small} | ${resident} | ${most} |`);
  }
}

type Peer = AsyncDisposable & Readonly<{ processId: number; socket: string }>;

async function startService(work: string): Promise<Peer> {
  const folder = await mkdtemp(join(work, "service-"));
  await writeFile(join(folder, "settings.json"), JSON.stringify(parseRelayConfig(settings, "relay.toml")));
  await writeFile(join(folder, "dkim.pem"), key.privateKeyPem);
  const [program] = (await bundlePrograms([serviceBundle], join(import.meta.dirname, "../.."))).values();
  await writeFile(join(folder, "service.mjs"), program!.content);
  const flags = [...milterNode.flags, ...(process.env.BENCH_NODE_FLAGS ?? "").split(" ").filter(Boolean)];
  return startPeer(
    process.execPath,
    [...flags, join(folder, "service.mjs"), folder],
    folder,
    milterNode.environment,
  );
}

const serviceBundle = { name: "service", entry: "test/bench/milter-service.ts" };

const openDkim = "/usr/sbin/opendkim";

async function startOpenDkim(work: string): Promise<Peer> {
  const folder = await mkdtemp(join(work, "opendkim-"));
  await writeFile(join(folder, "dkim.pem"), key.privateKeyPem, { mode: 0o600 });
  const configuration = [
    `Socket local:${join(folder, "socket")}`,
    `Domain ${domain}`,
    `Selector ${key.selector}`,
    `KeyFile ${join(folder, "dkim.pem")}`,
    "Mode s",
    "Canonicalization relaxed/relaxed",
    "SignatureAlgorithm rsa-sha256",
    "InternalHosts 127.0.0.1",
    "Background no",
    "Syslog no",
    "RequireSafeKeys no",
  ];
  await writeFile(join(folder, "opendkim.conf"), `${configuration.join("\n")}\n`);
  return startPeer(openDkim, ["-f", "-x", join(folder, "opendkim.conf")], folder);
}

/** Starts a milter that listens on `folder`/socket; ends with it. */
async function startPeer(
  program: string,
  args: string[],
  folder: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<Peer> {
  const socket = join(folder, "socket");
  const child: ChildProcess = spawn(program, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...environment },
  });
  // Its log is read, as journald does, and dropped.
  child.stderr!.resume();
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await waitFor(`${program} listens`, 20_000, async () => {
    if (child.exitCode !== null) throw new Error(`${program} ended with code ${child.exitCode}`);
    return accepts(socket);
  });
  return {
    processId: child.pid!,
    socket,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** An encrypted mail of about `bytes` bytes. */
async function mailOf(bytes: number): Promise<string> {
  const frame = (await encryptedMail({ from: sender, to: recipient }, "")).length;
  // Base64 adds a third, and a line end for every 64 characters.
  const text = randomBytes(Math.max(0, Math.floor(((bytes - frame) * 3) / 4 / 1.03125 / 2))).toString("hex");
  return encryptedMail({ from: sender, to: recipient, headers: [autocrypt] }, text);
}

/** Delta Chat puts the sender's key into every message outside the encryption of the first ones. */
const autocrypt = `Autocrypt: addr=${sender}; prefer-encrypt=mutual; keydata=\r\n ${"mDMEYWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXphYmNkZWZnaGlqa2xtbm9wcXJzdHV2\r\n ".repeat(8)}=`;

function medians(results: readonly { cpuMs: number; perSecond: number }[]) {
  const middle = (numbers: number[]) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
  return {
    cpuMs: middle(results.map(({ cpuMs }) => cpuMs)),
    perSecond: middle(results.map(({ perSecond }) => perSecond)),
  };
}

function printRows(rows: readonly Row[]): void {
  console.log("| what | CPU per message | messages per second | resident at most | |\n|---|---|---|---|---|");
  for (const { what, cpuMs, perSecond, peakMb, note } of rows) {
    const memory = peakMb === null ? "" : `${peakMb.toFixed(0)} MB`;
    console.log(`| ${what} | ${cpuMs.toFixed(3)} ms | ${perSecond.toFixed(0)} | ${memory} | ${note} |`);
  }
}

await main();
