/** The pi image as the SD card of an emulated Raspberry Pi 3: the real device tree, card slot and serial port. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type BootedMachine,
  bootRaspberryPi3,
  buildTestImage,
  missingForQemu,
  type TestImage,
} from "../support/qemu.ts";

/** QEMU takes only SD cards whose size is a power of two. */
const CARD_BYTES = 2 * 2 ** 30;
const missing = missingForQemu("arm64", false);
const what = "the pi image on a Raspberry Pi 3";

describe.skipIf(missing !== undefined)(missing === undefined ? what : `${what} (${missing})`, () => {
  let image: TestImage;
  let machine: BootedMachine | undefined;

  beforeAll(async () => {
    image = await buildTestImage("pi", "_pi.test", CARD_BYTES);
  });
  afterAll(async () => {
    await machine?.kill();
    await image?.[Symbol.asyncDispose]();
  });

  it("reaches all services, with its data partition made on the card", async () => {
    machine = await bootRaspberryPi3(image, "pi-raspi3b");
    console.log(`${what}: ready after ${machine.bootSeconds.toFixed(0)} s`);
    expect(machine.lines).toContainEqual(expect.stringMatching(/^homing: slot a on \/dev\/mmcblk/));
    expect(machine.lines).toContainEqual(expect.stringMatching(/^homing: making the data partition$/));
    expect(machine.lines).toContainEqual(expect.stringMatching(/^homing: ready, relay _pi\.test/));
  });
});
