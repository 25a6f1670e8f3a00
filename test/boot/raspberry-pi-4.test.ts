/**
 * The pi image as the SD card of an emulated Raspberry Pi 4: its processor, interrupts, clocks and serial port, the
 * kernel, the root file system, the data partition made on the card.
 * Not shown: the Pi's firmware, which QEMU has not (raspberry-pi-files.test.ts looks at its files), the controller and
 * the supplies of the real card slot, PCIe with USB, and the network; QEMU gets a device tree without these
 * (test/support/emulated-pi-4.ts).
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findRaspberryPi4 } from "../support/newer-qemu.ts";
import { type BootedMachine, bootRaspberryPi4, buildTestImage, type TestImage } from "../support/qemu.ts";

/** QEMU takes only SD cards whose size is a power of two. */
const CARD_BYTES = 2 * 2 ** 30;
const emulator = await findRaspberryPi4();
const what = "the pi image on a Raspberry Pi 4";

describe.skipIf(typeof emulator === "string")(
  typeof emulator === "string" ? `${what} (${emulator})` : what,
  () => {
    let image: TestImage;
    let machine: BootedMachine | undefined;

    beforeAll(async () => {
      image = await buildTestImage("pi", "_pi4.test", CARD_BYTES);
    });
    afterAll(async () => {
      await machine?.kill();
      await image?.[Symbol.asyncDispose]();
    });

    it("reaches all services, with its data partition made on the card", async () => {
      if (typeof emulator === "string") throw new Error(emulator);
      machine = await bootRaspberryPi4(image, "pi-raspi4b", emulator);
      console.log(`${what}: ready after ${machine.bootSeconds.toFixed(0)} s`);
      expect(machine.lines).toContainEqual(expect.stringMatching(/^homing: slot a on \/dev\/mmcblk/));
      expect(machine.lines).toContainEqual(expect.stringMatching(/^homing: making the data partition$/));
      expect(machine.lines).toContainEqual(expect.stringMatching(/^homing: ready, relay _pi4\.test/));
    });
  },
);
