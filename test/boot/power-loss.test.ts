/**
 * The vm image on a disk of 2 GB, whose power goes three times during the first boot, at the moments that matter most;
 * afterwards the same disk damaged, full and from a newer system. (Random moments, as many as one likes:
 * test/bench/power-loss.ts.)
 */
import { execFile } from "node:child_process";
import { copyFile, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataDirectory, dataPaths, ports } from "../../appliance/layout.ts";
import { freePort } from "../../installer/vm/machine.ts";
import { inventAccount } from "../support/accounts.ts";
import {
  keysOutsideData,
  type PoweredMachine,
  placeOf,
  powerOn,
  readingDisk,
  relayOnFat,
} from "../support/cut-power.ts";
import { makeKeyPair, sendEncrypted, withInbox } from "../support/encrypted-letter.ts";
import { buildTestImage, missingForQemu, type TestImage } from "../support/qemu.ts";
import { openSmtp } from "../support/smtp-session.ts";
import { waitFor } from "../support/wait.ts";

const CARD_BYTES = 2_000_000_000;
const DOMAIN = "_power.test";
const TIMEOUT = 120_000;
/** Place of the superblock and of its magic number in an ext4 file system (kernel, Documentation/filesystems/ext4). */
const SUPERBLOCK = { offset: 1024, bytes: 1024, magic: 0x38 } as const;
const EXT4_MAGIC = 0xef53;
const missing = missingForQemu("amd64", false);
const what = "the vm image without power";

describe.skipIf(missing !== undefined)(missing === undefined ? what : `${what} (${missing})`, () => {
  let image: TestImage;
  let disk: string;
  let machine: PoweredMachine | undefined;
  const account = inventAccount(DOMAIN);
  const keys = makeKeyPair(account.address);
  const forwards = new Map<number, number>();
  const mailPorts = () => ({
    imaps: forwards.get(ports.imaps)!,
    submissions: forwards.get(ports.submissions)!,
  });
  /** A test that failed leaves its machine; disk and ports are needed. */
  const start = async (name: string) => {
    await machine?.cut();
    machine = powerOn(disk, `power-loss-${name}`, forwards);
    return machine;
  };
  /**
   * Each once, also after a cut that came before the disk knew that the queue was done with it (RFC 1047 §1): the door
   * knows of it.
   */
  const bothMessages = () =>
    waitFor("both messages are there", TIMEOUT, () =>
      withInbox(mailPorts(), account, async (client) => {
        const messages = await client.fetchAll("1:*", { envelope: true });
        const ids = messages.map(({ envelope }) => envelope?.messageId);
        if (ids.length !== 2 || new Set(ids).size !== 2) throw new Error(`INBOX has ${ids.join(", ")}`);
        return true;
      }),
    );

  beforeAll(async () => {
    image = await buildTestImage("vm", DOMAIN, CARD_BYTES);
    disk = image.image.path;
    for (const port of [ports.smtp, ports.imaps, ports.submissions]) forwards.set(port, await freePort(0));
  });
  afterAll(async () => {
    await machine?.cut();
    await image?.[Symbol.asyncDispose]();
  });

  it("takes its partitions up again when they were about to be made", async () => {
    const first = await start("1-table");
    await first.line(/^homing: making the data partition$/);
    await first.cut();
    expect(first.lines).not.toContainEqual(expect.stringMatching(/^homing: formatting/));
  });

  it("formats again what was half formatted", async () => {
    const second = await start("2-format");
    await second.line(/^homing: formatting/);
    const { startBytes } = await placeOf(disk, 4);
    const magicAt = startBytes + SUPERBLOCK.offset + SUPERBLOCK.magic;
    // From here on it looks like a file system.
    await second.poll("a superblock", () =>
      readingDisk(disk, async (read) => (await read(magicAt, 2)).readUInt16LE() === EXT4_MAGIC),
    );
    await second.cut();
    expect((await relayOnFat(disk)).length).toBeGreaterThan(3);
  });

  it("goes on wiping where it was cut off", async () => {
    const [aKey] = await keysOutsideData(disk, image.relay);
    const offset = Number(aKey!.split(" at ")[1]);
    const before = await readingDisk(disk, (read) => read(offset, 32));
    const third = await start("3-wipe");
    await third.line(/^homing: formatting/);
    await third.poll("a key was wiped", () =>
      readingDisk(disk, async (read) => !(await read(offset, 32)).equals(before)),
    );
    await third.cut();
  });

  it("is complete at the next start, and leaves no key on the boot partition", async () => {
    const fourth = await start("4-whole");
    await fourth.line(/^homing: (NOT )?ready/i);
    expect(fourth.lines).toContainEqual(expect.stringMatching(`^homing: ready, relay ${DOMAIN}`));
    expect(fourth.lines).not.toContainEqual(expect.stringMatching(/^homing: formatting/));
    expect(await relayOnFat(disk)).toEqual([]);
    expect(await keysOutsideData(disk, image.relay)).toEqual([]);
  });

  it("has room for accounts and mail on a card of 2 GB", async () => {
    const { publicKey } = await keys;
    await withInbox(mailPorts(), account, async () => {});
    for (const text of ["one", "two"])
      await sendEncrypted(mailPorts(), account, account.address, publicKey, text);
    await bothMessages();
    await machine!.cut();
    await copyFile(disk, join(image.folder, "whole.img"));
  });

  it("repairs a damaged file system and says so; a full one refuses mail, but can be emptied", async () => {
    const { startBytes } = await placeOf(disk, 4);
    const stats = await changeData(disk, image.folder, ["stats -h"]);
    const number = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)$`, "m").exec(stats)![1]);
    const left = number("Free blocks") - number("Reserved block count") - KEPT_BLOCKS;
    const filling = `${dataPaths.mail.slice(dataDirectory.length)}/filling`;
    await changeData(disk, image.folder, [
      `write /dev/null ${filling}`,
      `fallocate ${filling} 0 ${left - 1}`,
    ]);
    await overwrite(disk, startBytes + SUPERBLOCK.offset, Buffer.alloc(SUPERBLOCK.bytes));
    const full = await start("5-full");
    await full.line(/^homing: (NOT )?ready/i);
    await full.line(/^homing: the disk is full: mail is refused/);
    await full.line(/^homing: the data partition was damaged and has been repaired/);
    expect(full.lines).toContainEqual(expect.stringMatching(`^homing: ready, relay ${DOMAIN}`));
    expect(full.lines).not.toContainEqual(expect.stringMatching(/^homing: formatting/));
    await using stranger = await openSmtp({ host: "127.0.0.1", port: forwards.get(ports.smtp)! });
    await stranger.startTls();
    expect(await stranger.command("MAIL FROM:<stranger@_c.test>")).toMatchObject({ code: 452 });
    // The cut came right after the delivery, which leaves a lock of Dovecot's.
    await bothMessages();
    await withInbox(mailPorts(), account, async (client) => {
      const [first] = (await client.search({ all: true }, { uid: true })) || [];
      expect(await client.messageDelete(`${first}`, { uid: true })).toBe(true);
      await client.noop();
      expect(await client.search({ all: true }, { uid: true })).not.toContain(first);
    });
    await full.cut();
  });

  it("leaves alone what cannot be repaired, says so and does not start again and again", async () => {
    await copyFile(join(image.folder, "whole.img"), disk);
    const { startBytes, sizeBytes } = await placeOf(disk, 4);
    // The superblock and all its copies, and whatever else lies in the first 64 KiB of each group of 128 MiB.
    for (let offset = 0; offset < sizeBytes; offset += 2 ** 27)
      await overwrite(disk, startBytes + offset, Buffer.alloc(65_536, "damaged "));
    const before = await readingDisk(disk, (read) => read(startBytes, 2 ** 20));
    const damaged = await start("6-damaged");
    await damaged.line(/^homing: NOT READY/);
    await damaged.line(/^homing: mail is off: the data partition .*damaged/);
    expect(damaged.lines).not.toContainEqual(expect.stringMatching(/^homing: (formatting|making)/));
    expect((await readingDisk(disk, (read) => read(startBytes, 2 ** 20))).equals(before)).toBe(true);
    await damaged.cut();
  });

  it("does not touch the data of a newer system", async () => {
    await copyFile(join(image.folder, "whole.img"), disk);
    const version = join(image.folder, "version");
    await writeFile(version, "2\nHoming 9.0.0\n");
    await changeData(disk, image.folder, ["rm /version", `write ${version} /version`]);
    const newer = await start("7-newer");
    await newer.line(
      /^homing: the data partition is of version 2 \(Homing 9\.0\.0\), this system knows version 1 at most/,
    );
    await newer.cut();
  });
});

const run = promisify(execFile);
/** Of ext4 on the data partition. */
const BLOCK_BYTES = 4096;
/** 20 MB: far below what Postfix leaves (queue_minfree), so mail alone never fills a disk more. */
const KEPT_BLOCKS = 5000;

/**
 * Runs commands of debugfs(8) on the data partition of a disk that is not in use, after its journal was replayed; what
 * the last one says. In a file of its own, since e2fsck forgets about offsets when it has replayed a journal.
 */
async function changeData(disk: string, folder: string, commands: readonly string[]): Promise<string> {
  const { startBytes, sizeBytes } = await placeOf(disk, 4);
  const data = join(folder, "data.img");
  const [start, size] = [startBytes / BLOCK_BYTES, Math.floor(sizeBytes / BLOCK_BYTES)];
  await run("dd", [
    `if=${disk}`,
    `of=${data}`,
    `bs=${BLOCK_BYTES}`,
    `skip=${start}`,
    `count=${size}`,
    "conv=sparse",
  ]);
  // 1: it mended something, as after any cut.
  await run("e2fsck", ["-p", data]).catch((error: { code?: unknown }) => {
    if (error.code !== 1) throw error;
  });
  let said = "";
  for (const command of commands) said = (await run("debugfs", ["-w", "-R", command, data])).stdout;
  await run("dd", [`if=${data}`, `of=${disk}`, `bs=${BLOCK_BYTES}`, `seek=${start}`, "conv=notrunc"]);
  return said;
}

async function overwrite(disk: string, offset: number, bytes: Buffer): Promise<void> {
  await using file = await open(disk, "r+");
  await file.write(bytes, 0, bytes.length, offset);
}
