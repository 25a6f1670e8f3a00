/**
 * From power on to the first login, beside the same system without our services: `node installer/launch.mjs --script
 * test/bench/boot.ts [--runs 3]`. Each run boots a new disk of each system in QEMU without acceleration, kernel and
 * initramfs handed to it, so that no firmware's time is in it:
 * - the relay, until a client has logged in by IMAP, which makes its account, and another one by SMTP;
 * - the same system without our services (plain-system.ts): Postfix and Dovecot with configuration, certificate and
 *   account made beforehand, until the same client has logged in the same two ways;
 * - the relay's root file system with our units, Postfix and Dovecot masked, until multi-user.target.
 * All of them format their data partition. The first two then lose power and start again. CPU is the emulator's.
 */
import { copyFile, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createTransport } from "nodemailer";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { buildImage } from "../../image/build.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import type { RootfsSpec } from "../../image/spec.ts";
import { kernelOptions } from "../../image/targets/target.ts";
import { createRelayFolder } from "../../installer/relay-folder.ts";
import { type Account, inventAccount } from "../support/accounts.ts";
import { withInbox } from "../support/encrypted-letter.ts";
import { waitFor } from "../support/wait.ts";
import { type BootOptions, boot, type Forwards, type Moment, type Running } from "./boot-machine.ts";
import { firstGreeting } from "./first-greeting.ts";
import { ourUnits, plainSpec } from "./plain-system.ts";
import { printMedians } from "./tables.ts";

const DOMAIN = "_bench.test";
/** A relay takes new accounts only while it has a gigabyte free for mail. */
const DISK_BYTES = 4 * 2 ** 30;
/** What the machine's memory is about, in bytes, once the kernel has its share. */
const MEMORY_BYTES = 980 * 2 ** 20;
const TIMEOUT = 600_000;

/** When a client was logged in by IMAP, and by SMTP after that. */
type Logins = Readonly<{ imap: Moment; smtp: Moment }>;

async function logIn({ forwards, moment }: Running, account: Account): Promise<Logins> {
  await firstGreeting(forwards.imap, TIMEOUT);
  const imap = await waitFor("a login by IMAP", TIMEOUT, () => withInbox(forwards, account, moment));
  await firstGreeting(forwards.submission, TIMEOUT);
  await waitFor("a login by SMTP", TIMEOUT, () => logInBySmtp(forwards, account));
  return { imap, smtp: await moment() };
}

async function logInBySmtp({ submissions: port }: Forwards, account: Account): Promise<boolean> {
  const transport = createTransport({
    ...{ host: "127.0.0.1", port, secure: true, tls: { rejectUnauthorized: false } },
    auth: { user: account.address, pass: account.password },
  });
  try {
    return await transport.verify();
  } finally {
    transport.close();
  }
}

const untilMultiUser = ({ lines, moment }: Running): Promise<Moment> =>
  waitFor("multi-user.target", TIMEOUT, () =>
    lines.some((line) => line.includes("Reached target") && line.includes("multi-user.target")),
  ).then(moment);

const { values } = parseArgs({ options: { runs: { type: "string", default: "3" } } });
const runs = Number(values.runs);
const work = await mkdtemp(join(tmpdir(), "homing-bench-"));

/** A new image of this system, with kernel and initramfs beside it. */
async function prepare(
  name: string,
  spec: RootfsSpec,
  relay: ReadonlyMap<string, Uint8Array>,
): Promise<BootOptions> {
  const files = { kernel: join(work, `${name}.kernel`), initramfs: join(work, `${name}.initrd`) };
  const disk = join(work, `${name}.img`);
  const { rootfs } = await buildImage({
    ...{ target: "vm", spec, relay, out: disk, lock: readLock() },
    cache: defaultCacheDirectory(),
    mirrors: await chooseMirrors({ env: process.env }),
  });
  await writeFile(files.kernel, rootfs.boot.kernel);
  await writeFile(files.initramfs, rootfs.boot.initramfs);
  return { ...files, disk, options: kernelOptions(relay, ["ttyS0,115200"]) };
}

/** A disk of its own, as large as the relay wants it, that only this run has written to. */
async function newDisk(system: BootOptions): Promise<BootOptions> {
  const disk = join(work, "disk.img");
  await copyFile(system.disk, disk);
  await truncate(disk, DISK_BYTES);
  return { ...system, disk };
}

try {
  const { config, files } = await createRelayFolder(join(work, "relay"), DOMAIN, {
    signUp: { maxLoadAverage: 1000 },
  });
  const account = inventAccount(DOMAIN);
  const relay = await prepare("relay", rootfsSpec(), files);
  const plain = await prepare("plain", plainSpec(config, MEMORY_BYTES, account), files);
  const masked = [...ourUnits, "dovecot.service", "postfix.service"].map((unit) => `systemd.mask=${unit}`);
  const bare = { ...relay, options: [relay.options, "systemd.show_status=true", ...masked].join(" ") };

  console.log(`load ${loadavg()[0]!.toFixed(1)} before, medians of ${runs}\n`);
  const moments = new Map<string, Moment[]>();
  const note = (what: string, moment: Moment) => moments.set(what, [...(moments.get(what) ?? []), moment]);
  for (let run = 0; run < runs; run++) {
    for (const [name, system] of [
      ["the relay", relay],
      ["without our services", plain],
    ] as const) {
      const disk = await newDisk(system);
      for (const start of ["first start", "second start"]) {
        const { imap, smtp } = await boot(disk, (machine) => logIn(machine, account));
        note(`${name}, ${start}, to the first login by IMAP`, imap);
        note(`${name}, ${start}, to the first login by SMTP after it`, smtp);
      }
    }
    note(
      "without our services and any mail server, to multi-user.target",
      await boot(await newDisk(bare), untilMultiUser),
    );
  }
  printMedians(
    [
      ["CPU s", 1, ({ cpuSeconds }) => cpuSeconds],
      ["seconds", 1, ({ seconds }) => seconds],
    ],
    moments,
  );
  console.log(`\nload ${loadavg()[0]!.toFixed(1)} after`);
} finally {
  await rm(work, { recursive: true, force: true });
}
