/**
 * What logins cost: `node installer/launch.mjs --script test/bench/accounts.ts [SECONDS]` (a run's length, 3
 * unless given). The account service as a process of its own, asked over HTTP as Dovecot asks it; beside it
 * what a Python relay does for a first and a repeated login (accounts-rival.py, without any protocol, which
 * favours it). Medians of three runs, CPU of all threads first, since machines are noisy. Markdown on stdout.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseRelayConfig } from "../../appliance/relay-config.ts";

const RUNS = 3;
const SECRET = "0123456789abcdef0123456789abcdef";
/** Questions under way at once; Dovecot has at most 30 workers that ask. */
const CONNECTIONS = 24;
/** Accounts that log in again and again. */
const REGULARS = 500;
/** /proc/PID/stat counts in these (USER_HZ, proc_pid_stat(5)). */
const TICKS_PER_SECOND = 100;

const settings = `domain = "chat.example.org"
[sign_up]
max_load_average = 1000
min_free_memory_bytes = 0
min_free_disk_bytes = 0
network_burst = 1_000_000
relay_burst = 1_000_000
`;

type Measured = Readonly<{ perSecond: number; cpuMs: number }>;
type Question = Readonly<{ path: string; form: string; status: number }>;

async function main(seconds: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "homing-bench-accounts-"));
  try {
    console.log(
      `${availableParallelism()} cores, load average before: ${loadavg()[0]!.toFixed(1)}; ` +
        `${RUNS} runs of ${seconds} s, ${CONNECTIONS} questions at once\n`,
    );
    console.log("|                                                  | CPU each | per second |");
    console.log("|--------------------------------------------------|---------:|-----------:|");
    const { service, port } = await startService(folder);
    try {
      for (const [title, questions] of workloads()) {
        await printRow(title, () => load(service, port, seconds * 1000, questions));
      }
    } finally {
      service.kill("SIGTERM");
      await once(service, "exit");
    }
    for (const [title, what] of [
      ["Python: SHA512-crypt and SQLite, first login", "create"],
      ["Python: SHA512-crypt, repeated login", "check"],
    ] as const) {
      await printRow(title, () => rival(join(folder, "rival.sqlite"), what, seconds));
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Endless questions by title, each with the answer it must get. */
function workloads(): readonly (readonly [string, () => Question])[] {
  let count = 0;
  let made = 0;
  const name = (number: number) => `${String(number).padStart(9, "0")}@chat.example.org`;
  /** One of the accounts that the first workload made. */
  const regular = (number: number) => 1 + (number % Math.min(REGULARS, made));
  const verify = (number: number, password: string, ip: string, status: number): Question => ({
    path: "/verify",
    form: `${new URLSearchParams({ user: name(number), password, service: "imap", ip })}`,
    status,
  });
  const address = (number: number) => `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
  return [
    [
      "account made at its first login",
      () => {
        made += 1;
        return verify(made, `password-of-${made}`, "10.0.0.1", 200);
      },
    ],
    [
      "repeated login, right password",
      () => {
        count += 1;
        const number = regular(count);
        return verify(number, `password-of-${number}`, "10.0.0.1", 200);
      },
    ],
    [
      "wrong password from ever new addresses",
      () => {
        count += 1;
        return verify(1 + (count % made), "password-of-nobody", address(count), 403);
      },
    ],
    [
      "wrong password, one account and address",
      () => {
        count += 1;
        return verify(1, `guess-${count}`, "10.255.0.1", 503);
      },
    ],
    [
      "recipient asked for",
      () => {
        count += 1;
        return {
          path: "/exists",
          form: `${new URLSearchParams({ user: name(regular(count)) })}`,
          status: 200,
        };
      },
    ],
  ];
}

async function startService(folder: string): Promise<{ service: ChildProcess; port: number }> {
  await writeFile(join(folder, "relay.json"), JSON.stringify(parseRelayConfig(settings, "relay.toml")));
  await writeFile(join(folder, "secret"), SECRET);
  const files = ["relay.json", "secret", "accounts.sqlite", ""].map((file) => join(folder, file));
  const program = join(import.meta.dirname, "..", "services", "auth", "serve.ts");
  // What the service logs is of no interest unless it ends; then its exit fails the load.
  const service = spawn(process.execPath, [program, ...files], { stdio: ["ignore", "pipe", "ignore"] });
  const [line] = await once(service.stdout, "data");
  return { service, port: Number(line) };
}

async function load(
  service: ChildProcess,
  port: number,
  milliseconds: number,
  next: () => Question,
): Promise<Measured> {
  const cpuBefore = await cpuSeconds(service.pid!);
  const start = performance.now();
  const end = start + milliseconds;
  const counts = await Promise.all(Array.from({ length: CONNECTIONS }, () => converse(port, end, next)));
  const elapsed = (performance.now() - start) / 1000;
  const answered = counts.reduce((sum, count) => sum + count, 0);
  const cpu = (await cpuSeconds(service.pid!)) - cpuBefore;
  return { perSecond: answered / elapsed, cpuMs: (cpu / answered) * 1000 };
}

/** One connection that asks one question after the other, with as little work of its own as can be. */
function converse(port: number, end: number, next: () => Question): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.setNoDelay(true);
    let answered = 0;
    let expected = 0;
    let strays = 0;
    let text = "";
    const ask = () => {
      const { path, form, status } = next();
      expected = status;
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${SECRET}\r\n` +
          "Content-Type: application/x-www-form-urlencoded\r\nConnection: Keep-Alive\r\n" +
          `Content-Length: ${form.length}\r\n\r\n${form}`,
      );
    };
    socket.on("connect", ask);
    socket.on("error", reject);
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (!text.endsWith("}")) return;
      // The first tries of a guesser are still judged; anything else is a fault.
      if (!text.startsWith(`HTTP/1.1 ${expected} `) && (expected !== 503 || ++strays > 20)) {
        reject(new Error(`expected ${expected}: ${text}`));
        socket.destroy();
        return;
      }
      text = "";
      answered += 1;
      if (performance.now() < end) ask();
      else {
        socket.end();
        resolve(answered);
      }
    });
  });
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // Fields 14 and 15, counted behind the name, which may hold blanks.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function rival(database: string, what: "create" | "check", seconds: number): Promise<Measured> {
  const program = join(import.meta.dirname, "accounts-rival.py");
  const child = spawn("python3", [program, database, what, String(seconds)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (data) => {
    text += data;
  });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`python3 ended with ${code}`);
  const [done, elapsed, cpu] = text.trim().split(" ").map(Number) as [number, number, number];
  return { perSecond: done / elapsed, cpuMs: (cpu / done) * 1000 };
}

async function printRow(title: string, run: () => Promise<Measured>): Promise<void> {
  const runs: Measured[] = [];
  for (let i = 0; i < RUNS; i++) runs.push(await run());
  const median = (pick: (measured: Measured) => number) =>
    runs.map(pick).sort((a, b) => a - b)[Math.floor(RUNS / 2)]!;
  const cpu = `${median(({ cpuMs }) => cpuMs).toFixed(3)} ms`;
  const rate = median(({ perSecond }) => perSecond).toFixed(0);
  console.log(`| ${title.padEnd(48)} | ${cpu.padStart(8)} | ${rate.padStart(10)} |`);
}

await main(Number(process.argv[2] ?? 3));
