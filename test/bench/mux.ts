/**
 * What port 443 costs, beside the programs that others put there (nginx with ssl_preread, HAProxy, sslh; from Debian:
 * `apt-get install nginx libnginx-mod-stream haproxy sslh`): `node installer/launch.mjs --script test/bench/mux.ts`.
 * Prints a Markdown table: CPU per connection first, medians of three runs, one program after the other in each.
 * All of them have one process and one thread, and the same back ends. sslh says no PROXY header, and is sslh-select,
 * which ends with an overflow at 500 connections; where there is sslh-ev (Debian 13), that.
 *
 * `mux.ts NAME…` measures only those: homing, nginx, haproxy, sslh, direct. BENCH_NODE_FLAGS holds further flags for
 * our Node.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { serviceNode } from "../../appliance/files/service-unit.ts";
import { bundlePrograms } from "../../image/rootfs/runtime.ts";
import { waitFor } from "../support/wait.ts";
import { type Client, connections, download, holdOpen, recordHello, roundTrips } from "./mux-load.ts";
import { median } from "./tables.ts";

const RUNS = 3;
/** A load ends after this, finished or not: the table tells how many connections were made. */
const LOAD_MS = 15_000;
const CONNECTIONS = 10_000;
const IDLE_CONNECTIONS = 1000;
/** select(2) knows 1024 descriptors, and each connection takes two. */
const IDLE_CONNECTIONS_OF_SELECT = 400;

type Ports = Readonly<{ front: number; imap: number; smtp: number; web: number }>;
type Program = Readonly<{
  command: string;
  args: (folder: string, ports: Ports) => Promise<readonly string[]>;
  environment?: Readonly<Record<string, string>>;
}>;

const programs: Readonly<Record<string, Program>> = {
  homing: {
    command: process.execPath,
    environment: serviceNode.environment,
    args: async (folder, { front, imap, smtp, web }) => {
      const bundle = { name: "service", entry: "test/bench/mux-service.ts" };
      const [program] = (await bundlePrograms([bundle], join(import.meta.dirname, "../.."))).values();
      await writeFile(join(folder, "service.mjs"), program!.content);
      const flags = [
        ...serviceNode.flags,
        ...(process.env.BENCH_NODE_FLAGS ?? "").split(" ").filter(Boolean),
      ];
      const ports = [front, imap, smtp, web].map(String);
      return [...flags, join(folder, "service.mjs"), ...ports, join(folder, "counters")];
    },
  },
  nginx: {
    command: "/usr/sbin/nginx",
    args: async (folder, { front, imap, smtp, web }) => {
      const text = `daemon off; master_process off; user root; pid ${folder}/pid; error_log ${folder}/errors;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events { worker_connections 50000; }
stream {
  map $ssl_preread_alpn_protocols $behind {
    ~\\bimap\\b 127.0.0.1:${imap};
    ~\\bsmtp\\b 127.0.0.1:${smtp};
    default 127.0.0.1:${web};
  }
  server {
    listen 127.0.0.1:${front} backlog=4096;
    ssl_preread on;
    proxy_protocol on;
    proxy_pass $behind;
  }
}
`;
      await writeFile(join(folder, "nginx.conf"), text);
      return ["-c", join(folder, "nginx.conf"), "-e", join(folder, "errors")];
    },
  },
  haproxy: {
    command: "/usr/sbin/haproxy",
    args: async (folder, { front, imap, smtp, web }) => {
      const text = `global
  maxconn 9000
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 35m
  timeout server 35m
frontend front
  bind 127.0.0.1:${front} backlog 4096
  tcp-request inspect-delay 10s
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend imap if { req.ssl_alpn imap }
  use_backend smtp if { req.ssl_alpn smtp }
  default_backend web
backend imap
  server imap 127.0.0.1:${imap} send-proxy-v2
backend smtp
  server smtp 127.0.0.1:${smtp} send-proxy-v2
backend web
  server web 127.0.0.1:${web} send-proxy-v2
`;
      await writeFile(join(folder, "haproxy.cfg"), text);
      return ["-db", "-f", join(folder, "haproxy.cfg")];
    },
  },
  sslh: {
    command: existsSync("/usr/sbin/sslh-ev") ? "/usr/sbin/sslh-ev" : "/usr/sbin/sslh-select",
    args: async (folder, { front, imap, smtp, web }) => {
      const to = (port: number, rest = "") =>
        `{ name: "tls"; host: "127.0.0.1"; port: "${port}"; ${rest}log_level: 0; }`;
      const text = `foreground: true; inetd: false; numeric: true; timeout: 10; verbose: 0;
listen: ( { host: "127.0.0.1"; port: "${front}"; } );
protocols: ( ${to(imap, 'alpn_protocols: [ "imap" ]; ')}, ${to(smtp, 'alpn_protocols: [ "smtp" ]; ')}, ${to(web)} );
`;
      await writeFile(join(folder, "sslh.cfg"), text);
      return [`-F${join(folder, "sslh.cfg")}`, "-f"];
    },
  },
};

type Running = AsyncDisposable & Readonly<{ pid: number; port: number }>;
type Result = Record<
  "cpuUs" | "perSecond" | "roundTripUs" | "bulk" | "bulk50" | "cpuPerGb" | "idleKb" | "startMb",
  number
> & {
  slowestMs: number;
  /** Connections that were begun, those that stay open among them, and which of them failed or stalled. */
  made: number;
  stalled: number;
};

async function main(names: readonly string[]): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "homing-mux-"));
  const backends = spawn(process.execPath, [join(import.meta.dirname, "mux-backends.ts")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [imap, smtp, web] = await new Promise<number[]>((resolve) =>
      backends.stdout!.once("data", (line) => resolve(JSON.parse(line))),
    );
    console.log(`Load average of this machine: ${loadavg()[0]!.toFixed(1)}, Node ${process.version}\n`);
    const hello = await recordHello("imap");
    const ports = { imap: imap!, smtp: smtp!, web: web! };
    const results = new Map<string, Result[]>(names.map((name) => [name, []]));
    for (let run = 0; run < RUNS; run++) {
      for (const name of names) {
        const program = programs[name];
        await using running = program
          ? await start(name, program, work, ports)
          : direct(ports.imap, backends.pid!);
        results
          .get(name)!
          .push(await measure({ port: running.port, hello, name: "i" }, running.pid, idleOf(program)));
      }
    }
    print(results);
  } finally {
    backends.kill();
    await rm(work, { recursive: true });
  }
}

/** Straight to the back end, whose CPU is counted then. */
function direct(port: number, pid: number): Running {
  return { pid, port, [Symbol.asyncDispose]: async () => {} };
}

async function start(
  name: string,
  program: Program,
  work: string,
  ports: Omit<Ports, "front">,
): Promise<Running> {
  const folder = await mkdtemp(join(work, `${name}-`));
  const front = await freePort();
  const args = await program.args(folder, { front, ...ports });
  const child: ChildProcess = spawn(program.command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...program.environment },
  });
  let complaint = "";
  child.stderr!.on("data", (text) => {
    complaint = `${complaint}${text}`.slice(-2000);
  });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  await waitFor(`${name} listens`, 20_000, async () => {
    if (child.exitCode !== null) throw new Error(`${name} ended with code ${child.exitCode}: ${complaint}`);
    return await accepts(front);
  });
  return {
    pid: child.pid!,
    port: front,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await ended;
    },
  };
}

function idleOf(program: Program | undefined): number {
  return program?.command.endsWith("-select") ? IDLE_CONNECTIONS_OF_SELECT : IDLE_CONNECTIONS;
}

async function measure(client: Client, pid: number, idle: number): Promise<Result> {
  const atRest = pssKilobytes(pid);
  // First, while no memory is left over from other connections.
  const held = await holdOpen(client, idle);
  const idleKb = (pssKilobytes(pid) - atRest) / held.length;
  for (const socket of held) socket.destroy();
  await connections(client, 500, 16, LOAD_MS);
  const cpuBefore = cpuMicroseconds(pid);
  const many = await connections(client, CONNECTIONS, 16, LOAD_MS);
  const cpuUs = (cpuMicroseconds(pid) - cpuBefore) / many.done;
  const roundTripUs = await roundTrips(client, 2000);
  const cpuBulk = cpuMicroseconds(pid);
  const bulk = await download(client, 1, 500);
  const bulk50 = await download(client, 50, 10);
  const cpuPerGb = (cpuMicroseconds(pid) - cpuBulk) / 1000 / ((1000 * 2 ** 20) / 1e9);
  return {
    ...{ cpuUs, perSecond: many.done / many.seconds, slowestMs: many.slowestMs, roundTripUs },
    ...{
      bulk,
      bulk50,
      cpuPerGb,
      idleKb,
      startMb: atRest / 1024,
      made: many.done + many.failed + idle,
      stalled: many.failed + idle - held.length,
    },
  };
}

/** Of all its threads (proc(5)). */
function cpuMicroseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // utime and stime in ticks of 10 ms: 10 000 connections are a hundred of them.
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function pssKilobytes(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))![1]);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function print(results: ReadonlyMap<string, readonly Result[]>): void {
  const columns: readonly (readonly [title: string, figure: keyof Result, digits: number])[] = [
    ["CPU per connection, µs", "cpuUs", 0],
    ["connections per second", "perSecond", 0],
    ["slowest, ms", "slowestMs", 0],
    ["round trip, µs", "roundTripUs", 0],
    ["one download, MB/s", "bulk", 0],
    ["50 downloads, MB/s", "bulk50", 0],
    ["CPU per GB, ms", "cpuPerGb", 0],
    ["memory at rest, MB", "startMb", 1],
    ["per idle connection, kB", "idleKb", 1],
  ];
  const titles = [...columns.map(([title]) => title), "failed or stalled, of all runs"];
  console.log(`| | ${titles.join(" | ")} |`);
  console.log(`|---|${titles.map(() => "---:|").join("")}`);
  for (const [name, runs] of results) {
    const cells = columns.map(([, figure, digits]) => median(runs.map((run) => run[figure])).toFixed(digits));
    // All, not the median: one that stalls in one run counts.
    const sum = (figure: "stalled" | "made") => runs.reduce((total, run) => total + run[figure], 0);
    console.log(`| ${name} | ${cells.join(" | ")} | ${sum("stalled")} of ${sum("made")} |`);
  }
}

const wanted = process.argv.slice(2);
const present = Object.entries(programs).flatMap(([name, { command }]) => {
  if (existsSync(command)) return [name];
  console.error(`${command} is missing: apt-get install nginx libnginx-mod-stream haproxy sslh`);
  return [];
});
await main(wanted.length > 0 ? wanted : present);
