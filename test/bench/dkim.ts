/**
 * What DKIM costs by itself: `node installer/launch.mjs --script test/bench/dkim.ts [MILLISECONDS]` (a run's length,
 * 1000 unless given). Signing and verifying with RSA-2048, ours beside mailauth and, where Debian's opendkim is
 * installed, OpenDKIM as a milter of its own. CPU of all threads for one message, medians of three runs. Markdown on
 * stdout.
 */
import { spawn } from "node:child_process";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { dkimSign } from "mailauth/lib/dkim/sign.js";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { createBodyHash } from "../../services/milter/body-hash.ts";
import { dkimSignature } from "../../services/milter/dkim-sign.ts";
import { createDkimVerifier } from "../../services/milter/dkim-verify.ts";
import { createHeaderList } from "../../services/milter/header-field.ts";
import { createKeyLookup } from "../../services/milter/key-lookup.ts";
import { connectMilter } from "../services/milter/milter-client.ts";
import { encryptedMail, makeSigningKey, signMail } from "../support/mail.ts";
import { waitFor } from "../support/wait.ts";
import { median } from "./tables.ts";

const RUNS = 3;
/** As Postfix hands bodies to a milter. */
const PIECE = 65535;
/** /proc/PID/stat counts in these (USER_HZ, proc_pid_stat(5)). */
const TICKS_PER_SECOND = 100;
const START_TIMEOUT = 20_000;
const openDkim = "/usr/sbin/opendkim";

const key = makeSigningKey("a.test", "homing1");
const signingKey = { ...key, key: createPrivateKey(key.privateKeyPem) };
const spki = createPublicKey(key.privateKeyPem).export({ type: "spki", format: "der" }).toString("base64");
const record = `v=DKIM1;k=rsa;p=${spki}`;
const resolveTxt = async () => [[record]];

type Work = () => Promise<void>;
type Clock = () => Promise<number>;

/** Milliseconds of CPU of this process. */
const ownCpu: Clock = async () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** CPU of one call, from as many as fit the time. */
async function cost(work: Work, cpu: Clock, milliseconds: number): Promise<number> {
  await work();
  const values: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const before = await cpu();
    const end = performance.now() + milliseconds;
    let count = 0;
    for (; performance.now() < end || count < 2; count++) await work();
    values.push(((await cpu()) - before) / count);
  }
  return median(values);
}

function takenApart(source: Buffer) {
  const end = source.indexOf("\r\n\r\n");
  const header = createHeaderList();
  for (const line of source
    .toString("latin1", 0, end)
    .replace(/\r\n(?=[ \t])/g, "\n")
    .split("\r\n")) {
    const colon = line.indexOf(":");
    header.add(line.slice(0, colon), line.slice(colon + 1));
  }
  return { fields: header.fields, body: source.subarray(end + 4) };
}

function inPieces(body: Buffer, write: (piece: Buffer) => void): void {
  for (let at = 0; at < body.length; at += PIECE) write(body.subarray(at, at + PIECE));
}

/** Ours, without parsing MIME: what the milter does for DKIM alone. */
function ourWork(source: Buffer, signed: Buffer): { sign: Work; verify: Work } {
  const plain = takenApart(source);
  const complete = takenApart(signed);
  const lookUpKey = createKeyLookup({ resolveTxt, now: () => performance.now() });
  return {
    async sign() {
      const hash = createBodyHash();
      inPieces(plain.body, hash.write);
      await dkimSignature(plain.fields, hash.digest(), signingKey);
    },
    async verify() {
      const options = {
        fields: complete.fields,
        fromDomain: "a.test",
        lookUpKey,
        clientAddress: null,
        date: Date.now,
      };
      const verifier = createDkimVerifier(options);
      inPieces(complete.body, verifier.write);
      const { kind } = await verifier.end();
      if (kind !== "valid") throw new Error(`our verifier says ${kind}`);
    },
  };
}

function mailauthWork(source: Buffer, signed: Buffer): { sign: Work; verify: Work } {
  const by = { signingDomain: "a.test", selector: "homing1", privateKey: key.privateKeyPem };
  return {
    async sign() {
      await dkimSign(source, { ...by, signatureData: [by] });
    },
    async verify() {
      const { results } = await dkimVerify(signed, { resolver: resolveTxt });
      if (results[0]?.status.result !== "pass") throw new Error("mailauth's verifier does not pass it");
    },
  };
}

/** OpenDKIM as a milter in this mode ("s" or "v"); each message over a connection of its own, as libmilter wants it. */
async function withOpenDkim<T>(
  mode: "s" | "v",
  use: (work: (message: Buffer) => Work, cpu: Clock) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "homing-bench-dkim-"));
  const path = (name: string) => join(folder, name);
  await writeFile(path("key.pem"), key.privateKeyPem, { mode: 0o600 });
  await writeFile(path("keys"), `homing1._domainkey.a.test ${record}\n`);
  const settings = [
    `Mode ${mode}`,
    "Canonicalization relaxed/relaxed",
    `TestPublicKeys ${path("keys")}`,
    ...(mode === "s"
      ? ["Domain a.test", "Selector homing1", `KeyFile ${path("key.pem")}`, "RequireSafeKeys no"]
      : []),
  ];
  await writeFile(path("conf"), `${settings.join("\n")}\n`);
  const daemon = spawn(openDkim, ["-f", "-x", path("conf"), "-p", `local:${path("socket")}`]);
  const ended = once(daemon, "exit");
  try {
    await waitFor("OpenDKIM listens", START_TIMEOUT, () => {
      if (daemon.exitCode !== null) throw new Error("OpenDKIM ended at once");
      return existsSync(path("socket"));
    });
    const work = (message: Buffer) => async () => {
      const client = await connectMilter(path("socket"));
      // It signs what comes from this machine.
      await client.session("mx", mode === "s" ? "127.0.0.1" : "192.0.2.1");
      await client.message({ from: "<alice1234@a.test>", to: ["<b@b.test>"], text: message });
      if (client.changes.length === 0) throw new Error("OpenDKIM did nothing");
      await client.quit();
    };
    const cpu: Clock = async () => {
      const stat = await readFile(`/proc/${daemon.pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
    };
    return await use(work, cpu);
  } finally {
    daemon.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true });
  }
}

const milliseconds = Number(process.argv[2] ?? 1000);
console.log(`${availableParallelism()} cores, load average before: ${loadavg()[0]!.toFixed(1)}\n`);
console.log("| CPU for one message | ours | mailauth | OpenDKIM |");
console.log("|---|---:|---:|---:|");
for (const [size, text] of [
  ["5 kB", "x".repeat(3000)],
  ["10 MB", "x".repeat(7_300_000)],
] as const) {
  const source = await encryptedMail({ from: "alice1234@a.test", to: "b@b.test" }, text);
  const [plain, signed] = [Buffer.from(source), Buffer.from(await signMail(source, key))];
  const [ours, theirs] = [ourWork(plain, signed), mailauthWork(plain, signed)];
  for (const [what, mode] of [
    ["sign", "s"],
    ["verify", "v"],
  ] as const) {
    const own = await cost(ours[what], ownCpu, milliseconds);
    const mailauth = await cost(theirs[what], ownCpu, milliseconds);
    const rival = existsSync(openDkim)
      ? await withOpenDkim(mode, (work, cpu) => cost(work(mode === "s" ? plain : signed), cpu, milliseconds))
      : undefined;
    const cells = [own, mailauth, rival].map((value) =>
      value === undefined ? "" : `${value.toFixed(2)} ms`,
    );
    console.log(`| ${what} ${size} (${plain.length} bytes) | ${cells.join(" | ")} |`);
  }
}
