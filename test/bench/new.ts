/**
 * What an account over HTTPS costs: `node installer/launch.mjs --script test/bench/new.ts [SECONDS]` (a run's length, 5
 * unless given). The account service and the web service as processes of their own, limits off; asked POST /new over
 * TLS connections that are kept, as services/mux hands them over, and once over a new connection each. Every account
 * is on disk when it is answered. Beside it nginx with a CGI program, as other relays have it, where nginx and fcgiwrap
 * are installed. Medians of three runs; CPU of both services together. Markdown on stdout.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { selfSignedCertificate } from "../../appliance/life/certificate.ts";
import { parseRelayConfig } from "../../appliance/relay-config.ts";
import { waitFor } from "../support/wait.ts";

const RUNS = 3;
const CONNECTIONS = 32;
const DOMAIN = "chat.example.org";
/** /proc/PID/stat counts in these (USER_HZ, proc_pid_stat(5)). */
const TICKS_PER_SECOND = 100;
/** PROXY protocol version 2, TCP over IPv4, 192.0.2.7:4321 → 192.0.2.1:443. */
const PROXY_HEADER = Buffer.from("0d0a0d0a000d0a515549540a2111000cc0000207c000020110e101bb", "hex");
const REQUEST = `POST https://${DOMAIN}/new HTTP/1.1\r\nHost: ${DOMAIN}\r\nContent-Length: 0\r\n\r\n`;

const settings = `domain = "${DOMAIN}"
[sign_up]
max_load_average = 1000
min_free_memory_bytes = 0
min_free_disk_bytes = 0
network_burst = 1_000_000
relay_burst = 1_000_000
`;

type Measured = Readonly<{ cpuMs: number; perSecond: number; median: number; p99: number }>;
type Services = Readonly<{
  processes: readonly ChildProcess[];
  webSocket: string;
  /** Accounts that exist; undefined where none are kept. */
  count?: () => number;
}>;

async function main(seconds: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "homing-bench-new-"));
  console.log(
    `${availableParallelism()} cores, load average before: ${loadavg()[0]!.toFixed(1)}; ` +
      `${RUNS} runs of ${seconds} s, ${CONNECTIONS} connections\n`,
  );
  const services = await startServices(folder);
  const rival = await startRival(folder);
  try {
    console.log("| POST /new                    | CPU each | per second |   median |      p99 |");
    console.log("|------------------------------|---------:|-----------:|---------:|---------:|");
    await printRow("connections that are kept", () => load(services, seconds * 1000, true));
    await printRow("a new connection each", () => load(services, seconds * 1000, false));
    if (rival !== undefined)
      await printRow("nginx and CGI, kept", () => load(rival, seconds * 1000, true), { hasCpu: false });
    else console.log("\nBeside nginx: needs nginx and fcgiwrap.");
  } finally {
    for (const service of [...services.processes, ...(rival?.processes ?? [])]) {
      const children = await childrenOf(service.pid!);
      service.kill("SIGTERM");
      await once(service, "exit");
      // fcgiwrap leaves its own behind.
      for (const child of children) endIfThere(child);
    }
    await rm(folder, { recursive: true, force: true });
  }
}

async function startServices(folder: string): Promise<Services> {
  const at = (name: string): string => join(folder, name);
  await writeFile(at("relay.json"), JSON.stringify(parseRelayConfig(settings, "relay.toml")));
  await writeFile(at("secret"), "0123456789abcdef0123456789abcdef");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  await writeFile(at("key.pem"), keyPem);
  await writeFile(at("chain.pem"), await selfSignedCertificate({ domain: DOMAIN, keyPem, now: new Date() }));
  const list = at("accounts.sqlite");
  const start = async (program: string, files: readonly string[]): Promise<ChildProcess> => {
    const path = join(import.meta.dirname, "..", "services", program);
    // What it logs is of no interest unless it ends; then its exit fails the load.
    const child = spawn(process.execPath, [path, ...files], { stdio: ["ignore", "pipe", "ignore"] });
    await Promise.race([
      once(child.stdout, "data"),
      once(child, "exit").then(() => Promise.reject(new Error(`${program} did not start`))),
    ]);
    return child;
  };
  const auth = await start("auth/serve.ts", [at("relay.json"), at("secret"), list, folder]);
  const files = [at("relay.json"), at("chain.pem"), at("key.pem"), at("web.sock"), `${list}.sign-up`];
  const web = await start("web/serve.ts", files);
  const database = new DatabaseSync(list, { readOnly: true });
  const count = (): number => Number(database.prepare("SELECT count(*) AS count FROM accounts").get()?.count);
  return { processes: [auth, web], webSocket: at("web.sock"), count };
}

/** nginx ends TLS and has fcgiwrap run new-rival.py, by as many processes as there are cores. */
async function startRival(folder: string): Promise<Services | undefined> {
  const [nginx, fcgiwrap] = ["/usr/sbin/nginx", "/usr/sbin/fcgiwrap"];
  if (!existsSync(nginx) || !existsSync(fcgiwrap)) return undefined;
  const at = (name: string): string => join(folder, name);
  const configuration = `daemon off; worker_processes ${availableParallelism()}; pid ${at("nginx.pid")};
error_log ${at("nginx.log")}; user root;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000000; client_body_temp_path ${at("body")}; fastcgi_temp_path ${at("temp")};
  server {
    listen unix:${at("nginx.sock")} ssl proxy_protocol;
    ssl_certificate ${at("chain.pem")}; ssl_certificate_key ${at("key.pem")};
    location = /new {
      fastcgi_pass unix:${at("cgi.sock")};
      fastcgi_param REQUEST_METHOD $request_method; fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param SCRIPT_FILENAME ${join(import.meta.dirname, "new-rival.py")};
    }
  }
}
`;
  await writeFile(at("nginx.conf"), configuration);
  const options = { stdio: "ignore" } as const;
  const cgi = spawn(
    fcgiwrap,
    ["-c", String(availableParallelism()), "-s", `unix:${at("cgi.sock")}`],
    options,
  );
  const server = spawn(nginx, ["-c", at("nginx.conf"), "-e", at("nginx.log")], options);
  const listening = () => existsSync(at("cgi.sock")) && existsSync(at("nginx.sock"));
  await waitFor("nginx and fcgiwrap listen", 10_000, listening);
  return { processes: [server, cgi], webSocket: at("nginx.sock") };
}

async function load(services: Services, milliseconds: number, kept: boolean): Promise<Measured> {
  const cpuOf = async (): Promise<number> =>
    (await Promise.all(services.processes.map(({ pid }) => cpuSeconds(pid!)))).reduce((a, b) => a + b);
  const [cpuBefore, countBefore] = [await cpuOf(), services.count?.() ?? 0];
  const start = performance.now();
  const times = (
    await Promise.all(
      Array.from({ length: CONNECTIONS }, () => converse(services.webSocket, start + milliseconds, kept)),
    )
  ).flat();
  const elapsed = (performance.now() - start) / 1000;
  const cpu = (await cpuOf()) - cpuBefore;
  const made = services.count === undefined ? times.length : services.count() - countBefore;
  if (made !== times.length) throw new Error(`${times.length} answers, but ${made} accounts`);
  times.sort((a, b) => a - b);
  return {
    cpuMs: (cpu / times.length) * 1000,
    perSecond: times.length / elapsed,
    median: times[times.length >> 1]!,
    p99: times[Math.floor(times.length * 0.99)]!,
  };
}

/** One account after the other. Resolves to how long each took, in milliseconds. */
async function converse(webSocket: string, end: number, kept: boolean): Promise<number[]> {
  const times: number[] = [];
  let socket: TLSSocket | undefined;
  while (performance.now() < end) {
    const start = performance.now();
    socket ??= await openTls(webSocket);
    const answer = once(socket, "data");
    socket.write(REQUEST);
    const text = String((await answer)[0]);
    if (!/^HTTP\/1\.1 200 .*\{"email":"[a-z0-9]{9}@/s.test(text)) throw new Error(`unexpected: ${text}`);
    times.push(performance.now() - start);
    if (kept) continue;
    socket.destroy();
    socket = undefined;
  }
  socket?.destroy();
  return times;
}

async function openTls(webSocket: string): Promise<TLSSocket> {
  const raw = connect(webSocket);
  raw.write(PROXY_HEADER);
  const socket = tlsConnect({ socket: raw, servername: DOMAIN, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  return socket;
}

async function childrenOf(pid: number): Promise<number[]> {
  const list = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return (list.match(/\d+/g) ?? []).map(Number);
}

function endIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGTERM");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // Fields 14 and 15, counted behind the name, which may hold blanks.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Without `hasCpu` the processes that did the work have ended unseen. */
async function printRow(title: string, run: () => Promise<Measured>, { hasCpu = true } = {}): Promise<void> {
  const runs: Measured[] = [];
  for (let i = 0; i < RUNS; i++) runs.push(await run());
  const median = (pick: (measured: Measured) => number): number =>
    runs.map(pick).sort((a, b) => a - b)[Math.floor(RUNS / 2)]!;
  const ms = (pick: (measured: Measured) => number, digits: number): string =>
    `${median(pick).toFixed(digits)} ms`.padStart(8);
  const rate = median(({ perSecond }) => perSecond).toFixed(0);
  console.log(
    `| ${title.padEnd(28)} | ${hasCpu ? ms((m) => m.cpuMs, 3) : "       –"} | ${rate.padStart(10)} | ${ms((m) => m.median, 1)} | ${ms((m) => m.p99, 1)} |`,
  );
}

await main(Number(process.argv[2] ?? 5));
