/** The wizard's cards (installer/wizard/card-effects.ts) on loop devices, which the kernel treats as it treats cards. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, type TestContext, test } from "vitest";
import { readingStage } from "../../../installer/flash/stages.ts";
import { cardEffects } from "../../../installer/wizard/card-effects.ts";
import type { Disk } from "../../../installer/wizard/effects.ts";
import { bytesAt, type LoopDisk, noLoopDisk, onLoopDisk } from "../../support/loop-disk.ts";
import {
  DATA_PARTITION_TYPE,
  makeSmallImage,
  markAsBooted,
  SMALL_IMAGE_BYTES,
} from "../../support/small-image.ts";

/** The least that a card may have is a little less. */
const CARD_BYTES = 2_000_000_000 - (2_000_000_000 % 4096);
const signal = new AbortController().signal;
const effects = cardEffects();

let folder: string;
let image: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-card-"));
  image = join(folder, "relay.img");
  await makeSmallImage(image);
});
afterAll(() => rm(folder, { recursive: true }));

/** Skips by name where no loop device can be had. */
async function onCard(
  { skip }: TestContext,
  work: (card: LoopDisk) => Promise<void>,
  bytes = CARD_BYTES,
): Promise<void> {
  if (!(await onLoopDisk(bytes, work))) skip(noLoopDisk);
}

async function listed(device: string) {
  const { disks, findings } = await effects.disks({ kind: "disks", image }, { report: () => {}, signal });
  return { disk: disks.find(({ path }) => path === device), findings };
}

const flash = (disk: Disk, report: (event: { stage: string; done?: number }) => void = () => {}) =>
  effects.flash({ kind: "flash", image, disk }, { report, signal });

const holdsImage = async (file: string) =>
  (await bytesAt(file, 0, SMALL_IMAGE_BYTES)).equals(await bytesAt(image, 0, SMALL_IMAGE_BYTES));
const isEmpty = async (file: string) => (await bytesAt(file, 0, 1 << 20)).every((byte) => byte === 0);

test("a card is listed, written and compared, and its relay given up only by a word of its own", (context) =>
  onCard(context, async ({ device, file }) => {
    const { disk } = await listed(device);
    expect(disk).toMatchObject({ label: expect.stringContaining("2.0 GB"), isRelay: false });
    const { findings } = await flash(disk!);
    expect(findings).toEqual([{ mark: "good", text: expect.stringContaining("holds the relay now") }]);
    expect(await holdsImage(file)).toBe(true);

    await markAsBooted(file);
    const used = (await listed(device)).disk;
    expect(used).toMatchObject({ isRelay: true });
    // It became a relay after it was listed.
    await expect(flash(disk!)).rejects.toThrow("accounts and mail would be lost");
    expect((await bytesAt(file, DATA_PARTITION_TYPE, 1))[0]).toBe(0x83);
    await flash(used!);
    expect(await holdsImage(file)).toBe(true);
  }));

test("a card that is too small is not offered, and the reason is said", (context) =>
  onCard(
    context,
    async ({ device }) => {
      const { disk, findings } = await listed(device);
      expect(disk).toBeUndefined();
      const told = findings.find(({ text }) => text.includes(`${device})`));
      expect(told?.text).toContain("too small");
    },
    64 << 20,
  ));

test("nothing is written when another card has the name by then, or none", async (context) => {
  let gone: Disk | undefined;
  await onCard(context, async ({ device, file }) => {
    const { disk } = await listed(device);
    gone = disk;
    const other = { ...disk!, label: `Another card, 31.9 GB (${device})` };
    await expect(flash(other)).rejects.toThrow("is not there any more as it was");
    expect(await isEmpty(file)).toBe(true);
  });
  await expect(flash(gone!)).rejects.toThrow("is not there any more as it was");
});

test("a card that goes in the midst of it is told, and nothing starts from it", async (context) => {
  if (process.getuid?.() !== 0) context.skip(noLoopDisk);
  // To a write the kernel answers as for a card that was pulled out: what is behind the device is full.
  const small = join(folder, "small");
  await mkdir(small);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", small]);
  try {
    const work = async ({ device, file }: LoopDisk) => {
      const { disk } = await listed(device);
      await expect(flash(disk!)).rejects.toThrow(/cannot be written \((?:EIO|ENOSPC)\): it was pulled out/);
      expect(await isEmpty(file)).toBe(true);
    };
    if (!(await onLoopDisk(CARD_BYTES, work, [], small))) context.skip(noLoopDisk);
  } finally {
    execFileSync("umount", [small]);
  }
});

test("a card that loses what it was given is found out", (context) =>
  onCard(context, async ({ device, file }) => {
    const { disk } = await listed(device);
    const report = ({ stage, done }: { stage: string; done?: number }) => {
      // What a worn card does: after all is written and before it is read.
      if (stage === readingStage && done === 0) wear(file);
    };
    await expect(flash(disk!, report)).rejects.toThrow("does not hold what was written");
  }));

function wear(file: string): void {
  const words = ["if=/dev/urandom", `of=${file}`, "bs=1k", "count=1", "seek=7000", "conv=notrunc"];
  execFileSync("dd", words, { stdio: "ignore" });
}
