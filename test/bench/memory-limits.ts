/**
 * That no service takes a small machine down: `node installer/launch.mjs --script test/bench/memory-limits.ts`. Boots the
 * vm image in QEMU with 512 MiB and lets a process of each running unit grow without end, one unit after the other.
 * Meanwhile and after each, a client makes an account, sends and receives. Prints Markdown; exit code 1 when the relay
 * did not serve again, or nothing stopped the process. Needs QEMU, its UEFI firmware for x86-64 and an SSH client.
 */
import { loadavg } from "node:os";
import { ports, sshPort } from "../../appliance/layout.ts";
import { inventAccount } from "../support/accounts.ts";
import { openImap } from "../support/imap-session.ts";
import { encryptedMail } from "../support/mail.ts";
import { type BootedMachine, bootImage, buildTestImage } from "../support/qemu.ts";
import { openSmtp } from "../support/smtp-session.ts";
import { makeAdministrator } from "../support/ssh.ts";
import { waitFor } from "../support/wait.ts";
import { growIn, type RunningUnits, type RunOnMachine, runningUnits } from "./memory-machine.ts";

const DOMAIN = "_bench.test";
const MEMORY_MEBIBYTES = 512;
const DISK_BYTES = 2 * 2 ** 30;
/** From the death of a service to a message that arrives. */
const SERVED_MILLISECONDS = 120_000;
/** Of one try: a client gives up and comes again. */
const TRY_MILLISECONDS = 30_000;
/** What they do comes from the kernel and the image alone, so they have no limit. */
const spared = ["systemd-udevd.service"];

async function main(): Promise<void> {
  await using administrator = await makeAdministrator();
  if (administrator === undefined) throw new Error("an SSH client is missing");
  await using image = await buildTestImage("vm", DOMAIN, DISK_BYTES, {
    ssh: { authorizedKeys: [administrator.publicKey] },
    // What is measured here is not who may sign up on a machine that emulates.
    signUp: { minFreeMemoryBytes: 0 },
  });
  const machine = await bootImage(image, "amd64", "memory-limits", { memoryMebibytes: MEMORY_MEBIBYTES });
  try {
    await measure(machine, (command) => administrator.run(machine.port(sshPort), command));
  } finally {
    await machine.shutDown();
  }
}

async function measure(machine: BootedMachine, run: RunOnMachine): Promise<void> {
  await secondsUntilServed(machine);
  const usual = await secondsUntilServed(machine);
  console.log(`Load average of this computer: ${loadavg()[0]!.toFixed(1)}. Without any harm mail takes`);
  console.log(`${usual.toFixed(1)} s, from making an account to reading its first message.\n`);
  console.log(
    `| ${MEMORY_MEBIBYTES} MiB | had | limit | grew for | the kernel ended | new | others new | mail meanwhile | then |`,
  );
  console.log("|---|---:|---:|---:|---|---|---|---:|---:|");
  const units = await runningUnits(run);
  for (const unit of units.keys()) {
    if (spared.includes(unit)) continue;
    // What a unit does to the machine may take the answer with it: that is one row, not the end.
    await measureUnit(machine, run, unit, units).catch((cause: Error) => {
      console.log(`| ${unit} | | | | | | | | |`);
      complain(`${unit}: ${cause.message.split("\n")[0]}`);
    });
  }
}

/** Prints its row. `units`: what ran before any of this. */
async function measureUnit(
  machine: BootedMachine,
  run: RunOnMachine,
  unit: string,
  units: RunningUnits,
): Promise<void> {
  const before = await runningUnits(run);
  const [growth, meanwhile] = await Promise.all([
    growIn(run, unit),
    secondsUntilServed(machine).catch(() => Number.POSITIVE_INFINITY),
  ]);
  const mail = await secondsUntilServed(machine).catch(() => Number.POSITIVE_INFINITY);
  const after = await waitFor("all units run again", SERVED_MILLISECONDS, async () => {
    const now = await runningUnits(run);
    return [...units.keys()].every((name) => now.has(name)) ? now : undefined;
  }).catch(() => runningUnits(run));
  const changed = changes(before, after);
  const others = changed.filter((name) => name !== unit);
  const gone = [...units.keys()].filter((name) => !after.has(name));
  const cells = [
    unit,
    megabytes(growth.before),
    megabytes(growth.limit),
    `${growth.seconds.toFixed(1)} s`,
    growth.killed.join(", ") || "nothing",
    changed.includes(unit) ? "yes" : "no",
    others.join(", ") || "none",
    secondsText(meanwhile),
    secondsText(mail),
  ];
  console.log(`| ${cells.map((cell) => cell.replace(/\.service/g, "")).join(" | ")} |`);
  const problems = [
    growth.killed.length === 0 && "it has no limit, or nothing stopped it",
    growth.killedForMachine.length > 0 &&
      `the machine ran out of memory: ${growth.killedForMachine.join(", ")}`,
    gone.length > 0 && `not running any more: ${gone.join(", ")}`,
    !Number.isFinite(mail) && "no mail",
  ].filter((problem) => problem !== false);
  for (const problem of problems) complain(`${unit}: ${problem}`);
}

function complain(text: string): void {
  console.error(`memory-limits: ${text}`);
  process.exitCode = 1;
}

/** Whose main process is another one than before, or none. */
function changes(before: RunningUnits, after: RunningUnits): string[] {
  return [...before].filter(([unit, process]) => after.get(unit) !== process).map(([unit]) => unit);
}

/** Until a client has made an account, sent itself a message and read it; one that fails comes again. Throws after a while. */
async function secondsUntilServed(machine: BootedMachine): Promise<number> {
  const started = performance.now();
  await waitFor("a message arrives", SERVED_MILLISECONDS, async () => {
    // Of a server that was just ended, a connection may stay open and silent.
    const late = AbortSignal.timeout(TRY_MILLISECONDS);
    const giveUp = new Promise<never>((_resolve, reject) => {
      late.addEventListener("abort", () => reject(late.reason));
    });
    await Promise.race([sendAndRead(machine), giveUp]);
    return true;
  });
  return (performance.now() - started) / 1000;
}

async function sendAndRead(machine: BootedMachine): Promise<void> {
  const { address, password } = inventAccount(DOMAIN);
  await using inbox = await openImap("127.0.0.1", machine.port(ports.imaps));
  const login = await inbox.command(`LOGIN ${address} ${password}`);
  if (login.status !== "OK") throw new Error(`login: ${login.text}`);
  await inbox.command("SELECT INBOX");
  await using sending = await openSmtp({
    host: "127.0.0.1",
    port: machine.port(ports.submissions),
    implicitTls: true,
  });
  const submission = await sending.login(address, password);
  if (submission.code !== 235) throw new Error(`submission: ${submission.text}`);
  const source = await encryptedMail({ from: address, to: address });
  const taken = await sending.send({ from: address, to: [address], source });
  if (taken.code !== 250) throw new Error(`message: ${taken.text}`);
  await waitFor("the message is there", TRY_MILLISECONDS, async () => {
    await inbox.command("NOOP");
    return (await inbox.fetchSources()).length === 1;
  });
}

function secondsText(value: number): string {
  return Number.isFinite(value) ? `${value.toFixed(1)} s` : "never";
}

function megabytes(bytes: number): string {
  return Number.isFinite(bytes) ? `${(bytes / 1e6).toFixed(0)} MB` : "none";
}

await main();
