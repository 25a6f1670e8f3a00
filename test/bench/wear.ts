/**
 * How much one message wears a card: bytes written to the data partition and flushes of it for a message that is sent and
 * delivered on the same relay, for its owner's fetching and deleting it, and for doing nothing. /data is ext4 on a loop
 * device, made and mounted as image/initramfs/init.sh does; what reaches the device is counted by the kernel
 * (Documentation/block/stat.rst), after a sync. Run as root: `node installer/launch.mjs --script test/bench/wear.ts`.
 * Prints a Markdown table; takes two minutes.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { loadavg } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Account, makeAccount } from "../support/accounts.ts";
import { openInbox } from "../support/imap-session.ts";
import { type LoopDisk, onLoopDisk } from "../support/loop-disk.ts";
import { encryptedMail } from "../support/mail.ts";
import { currentNamespace } from "../support/namespace.ts";
import { createTestNetwork, type TestNetwork } from "../support/network.ts";
import { runWithRelays } from "../support/rootfs.ts";
import { openSubmission } from "../support/smtp-session.ts";
import { printMedians } from "./tables.ts";

const DISK_BYTES = 2 ** 31;
const MESSAGES = 100;
const ROUNDS = 3;
/** Makes messages of 5 kB: encryption and base64 make four of three. */
const TEXT_BYTES = 2600;
/** In /sys/block/NAME/stat a sector is so large, whatever the device's is. */
const SECTOR = 512;
const settings = { sending: { perMinute: 100_000, burst: 10_000 } };

type Result = Readonly<{ kibibytes: number; writes: number; flushes: number }>;

/** What the disk took since it was made, once all is on it. */
function readDisk(device: string, folder: string): Result {
  execFileSync("sync", ["--file-system", folder]);
  const fields = readFileSync(`/sys/block/${basename(device)}/stat`, "utf8")
    .trim()
    .split(/\s+/)
    .map(Number);
  return { writes: fields[4]!, kibibytes: (fields[6]! * SECTOR) / 1024, flushes: fields[15]! };
}

async function measure({ device, file }: LoopDisk, network: TestNetwork): Promise<void> {
  const data = `${file}.mounted`;
  mkdirSync(data);
  mkdirSync(join(network.folder, "_a.test"));
  // The network's folder is removed while the disk is still mounted.
  symlinkSync(data, join(network.folder, "_a.test", "data"));
  execFileSync("mkfs.ext4", [
    "-q",
    "-F",
    "-i",
    "4096",
    "-E",
    "lazy_itable_init=0,lazy_journal_init=0",
    device,
  ]);
  execFileSync("mount", ["-o", "noatime,nodelalloc,nosuid,nodev,noexec", device, data]);
  try {
    const relay = await network.startRelay("_a.test", { settings });
    const [sender, receiver] = [await makeAccount(relay), await makeAccount(relay)];
    const send = async (count: number) => {
      await using submission = await openSubmission(relay.address, sender.address, sender.password);
      await using inbox = await openInbox(relay.address, receiver.address, receiver.password);
      const idle = await inbox.idle();
      const text = randomBytes(TEXT_BYTES / 2).toString("hex");
      const mail = await encryptedMail({ from: sender.address, to: receiver.address }, text);
      for (let i = 0; i < count; i++) {
        const source = mail.replace(/^Message-ID: </m, `$&${i}.`);
        const arrival = idle.next();
        const { code } = await submission.send({ from: sender.address, to: [receiver.address], source });
        if (code !== 250) throw new Error(`refused: ${code}`);
        await arrival;
      }
      await idle.done();
    };
    await send(MESSAGES / 5);
    await fetchAndDelete(relay.address, receiver);
    const results = new Map<string, Result[]>();
    const note = async (name: string, work: () => Promise<unknown>) => {
      const before = readDisk(device, data);
      await work();
      const after = readDisk(device, data);
      const of = (figure: (result: Result) => number) => (figure(after) - figure(before)) / MESSAGES;
      const result = {
        kibibytes: of(({ kibibytes }) => kibibytes),
        writes: of(({ writes }) => writes),
        flushes: of(({ flushes }) => flushes),
      };
      results.set(name, [...(results.get(name) ?? []), result]);
    };
    console.log(`\nLoad average before: ${loadavg()[0]!.toFixed(1)}\n`);
    for (let round = 0; round < ROUNDS; round++) {
      const started = performance.now();
      await note(`sent and delivered, ${MESSAGES} one after the other`, () => send(MESSAGES));
      const lasted = performance.now() - started;
      await note("fetched and deleted, all at once", () => fetchAndDelete(relay.address, receiver));
      // What is written meanwhile anyhow: as long as the messages took.
      await note("nothing, as long as they took", () => pause(lasted));
    }
    printMedians<Result>(
      [
        ["KiB written a message", 1, ({ kibibytes }) => kibibytes],
        ["writes", 1, ({ writes }) => writes],
        ["flushes", 1, ({ flushes }) => flushes],
      ],
      results,
    );
    console.log(`\nLoad average after: ${loadavg()[0]!.toFixed(1)}`);
  } finally {
    await network[Symbol.asyncDispose]();
    execFileSync("umount", [data]);
  }
}

async function fetchAndDelete(host: string, { address, password }: Account): Promise<void> {
  await using inbox = await openInbox(host, address, password);
  await inbox.fetchSources();
  await inbox.command("STORE 1:* +FLAGS.SILENT (\\Deleted)");
  const { status } = await inbox.command("EXPUNGE");
  if (status !== "OK") throw new Error("the messages cannot be deleted");
}

if (currentNamespace() === undefined)
  process.exitCode = await runWithRelays([process.execPath, import.meta.filename]);
else {
  const done = await onLoopDisk(DISK_BYTES, async (disk) => {
    await measure(disk, await createTestNetwork("wear bench"));
  });
  if (!done) throw new Error("no loop device can be made here");
}
