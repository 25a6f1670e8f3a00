/**
 * What strangers cost who ask the web service for much and read nothing: `node installer/launch.mjs --script
 * test/bench/web-unread.ts [CONNECTIONS]` (64 unless given). The service as a process of its own; each connection of
 * HTTP/2 asks for the home page again and again, which its window never lets through. Resident memory before and while they
 * wait, the connections that were ended, and the time of an honest request meanwhile. Markdown on stdout.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { selfSignedCertificate } from "../../appliance/life/certificate.ts";
import { parseRelayConfig } from "../../appliance/relay-config.ts";
import { webLimits } from "../../services/web/limits.ts";
import { flags, frame, frameTypes, preface, requestFields, settings } from "../services/web/http2-frames.ts";
import { waitFor } from "../support/wait.ts";

const RUNS = 3;
const DOMAIN = "_a.test";
/** More than the service takes at a time, and just as many. */
const [MANY, ALLOWED] = [99, webLimits.streams];
/** PROXY protocol version 2, TCP over IPv4, 192.0.2.7:4321 → 192.0.2.1:443. */
const PROXY_HEADER = Buffer.from("0d0a0d0a000d0a515549540a2111000cc0000207c000020110e101bb", "hex");
/** Honest requests before the first measurement: what a service needs once is not counted. */
const WARMING = 500;

async function main(connections: number): Promise<void> {
  console.log(
    `${availableParallelism()} cores, load average before: ${loadavg()[0]!.toFixed(1)}; median of ${RUNS} runs, ` +
      `${connections} connections\n`,
  );
  console.log("| they                | memory before | meanwhile | each | ended | an honest request |");
  console.log("|---------------------|--------------:|----------:|-----:|------:|------------------:|");
  for (const [name, bytes] of [
    [`ask ${MANY} times`, asking(MANY)],
    [`ask ${ALLOWED} times`, asking(ALLOWED)],
    ["say nothing", Buffer.concat([preface, settings()])],
  ] as const) {
    const runs: Row[] = [];
    for (let run = 0; run < RUNS; run += 1) runs.push(await measure(connections, bytes));
    runs.sort((a, b) => a.after - b.after);
    const { before, after, ended, ms } = runs[Math.floor(RUNS / 2)]!;
    const each = (after - before) / connections;
    console.log(
      `| ${name.padEnd(19)} | ${mega(before)} | ${mega(after)} | ${(each / 1e3).toFixed(0)} kB | ${ended} | ${ms.toFixed(0)} ms |`,
    );
  }
}

type Row = Readonly<{ before: number; after: number; ended: number; ms: number }>;

/** SETTINGS_INITIAL_WINDOW_SIZE 0 (RFC 9113 §6.5.2), then the requests in one go. */
function asking(times: number): Buffer {
  const ends = flags.endHeaders | flags.endStream;
  const requests = Array.from({ length: times }, (_, i) =>
    frame(frameTypes.headers, ends, 1 + 2 * i, requestFields("/")),
  );
  return Buffer.concat([preface, settings([4, 0]), ...requests]);
}

async function measure(connections: number, bytes: Buffer): Promise<Row> {
  const folder = await mkdtemp(join(tmpdir(), "homing-bench-unread-"));
  const service = await startService(folder);
  const webSocket = join(folder, "web.sock");
  const strangers: TLSSocket[] = [];
  try {
    for (let i = 0; i < WARMING; i += 1) await honestRequest(webSocket);
    const before = await residentBytes(service.pid!);
    for (let i = 0; i < connections; i += 1) {
      const socket = await open(webSocket, "h2");
      socket.resume();
      strangers.push(socket);
      socket.write(bytes);
    }
    const ms = await honestRequest(webSocket);
    // What was asked for is answered when a later question is: the service takes them in order.
    await waitFor("the memory grows no more", 10_000, steady(service.pid!));
    const after = await residentBytes(service.pid!);
    return { before, after, ended: strangers.filter(({ closed }) => closed).length, ms };
  } finally {
    for (const socket of strangers) socket.destroy();
    service.kill("SIGTERM");
    await once(service, "exit");
    await rm(folder, { recursive: true, force: true });
  }
}

function steady(pid: number): () => Promise<boolean> {
  let last = 0;
  return async () => {
    const now = await residentBytes(pid);
    const isSteady = Math.abs(now - last) < 200_000;
    last = now;
    return isSteady;
  };
}

async function startService(folder: string): Promise<ChildProcess> {
  const at = (name: string): string => join(folder, name);
  const config = parseRelayConfig(`domain = "${DOMAIN}"\n`, "relay.toml");
  await writeFile(at("relay.json"), JSON.stringify(config));
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  await writeFile(at("key.pem"), keyPem);
  await writeFile(at("chain.pem"), await selfSignedCertificate({ domain: DOMAIN, keyPem, now: new Date() }));
  const program = join(import.meta.dirname, "..", "services", "web", "serve.ts");
  const files = ["relay.json", "chain.pem", "key.pem", "web.sock", "sign-up.sock"].map(at);
  const child = spawn(process.execPath, [program, ...files], { stdio: ["ignore", "pipe", "ignore"] });
  await Promise.race([
    once(child.stdout, "data"),
    once(child, "exit").then(() => Promise.reject(new Error("the web service did not start"))),
  ]);
  return child;
}

async function open(webSocket: string, protocol: string): Promise<TLSSocket> {
  const raw = connect(webSocket);
  raw.write(PROXY_HEADER);
  const socket = tlsConnect({ socket: raw, ALPNProtocols: [protocol], rejectUnauthorized: false });
  // Ended by the service: counted.
  raw.on("error", () => socket.destroy());
  socket.on("error", () => socket.destroy());
  await once(socket, "secureConnect");
  return socket;
}

/** Milliseconds from connecting to the end of the home page. */
async function honestRequest(webSocket: string): Promise<number> {
  const start = performance.now();
  const socket = await open(webSocket, "http/1.1");
  socket.resume().write(`GET / HTTP/1.1\r\nHost: ${DOMAIN}\r\nConnection: close\r\n\r\n`);
  if (!socket.closed) await once(socket, "close");
  return performance.now() - start;
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}

function mega(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

await main(Number(process.argv[2] ?? 64));
