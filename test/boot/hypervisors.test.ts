/**
 * The vm image on the hardware that hypervisors give, other than that of `./homing vm` (uefi-vm.test.ts): firmware,
 * disk controllers and network cards, as far as QEMU imitates them. From the first boot to a login over the network.
 * QEMU's LSI SAS 1068 is left out: Linux' driver finds the controller, but no disk behind it.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ports } from "../../appliance/layout.ts";
import { inventAccount } from "../support/accounts.ts";
import { withInbox } from "../support/encrypted-letter.ts";
import {
  type BootedMachine,
  bootPc,
  buildTestImage,
  missingForQemu,
  type PcHardware,
  type TestImage,
} from "../support/qemu.ts";

/** A relay takes new accounts only while it has a gigabyte free for mail. */
const DISK_BYTES = 4 * 2 ** 30;

const scsi = (controller: string) => [
  ...["-device", `${controller},id=scsi`],
  ...["-device", "scsi-hd,bus=scsi.0,drive=disk,bootindex=0"],
];
const all: readonly (PcHardware & { like: string })[] = [
  {
    like: "VirtualBox",
    firmware: "BIOS",
    machine: "pc",
    disk: ["-device", "ide-hd,drive=disk,bootindex=0"],
    network: "e1000",
  },
  {
    like: "VirtualBox and many PCs",
    firmware: "BIOS",
    machine: "q35",
    disk: ["-device", "ide-hd,drive=disk,bootindex=0"], // q35's is AHCI
    network: "e1000e",
  },
  { like: "VMware", firmware: "BIOS", machine: "pc", disk: scsi("pvscsi"), network: "vmxnet3" },
  {
    like: "many PCs",
    firmware: "UEFI",
    machine: "q35",
    disk: ["-device", "nvme,serial=1,drive=disk,bootindex=0"],
    network: "rtl8139",
  },
];
/** Of these only that the disk is found: the rest is the same. */
const controllers = ["virtio-scsi-pci", "lsi53c895a"];

const missing = missingForQemu("amd64");
const what = "the vm image";

describe.skipIf(missing !== undefined)(missing === undefined ? what : `${what} (${missing})`, () => {
  let image: TestImage;
  let machine: BootedMachine | undefined;

  beforeAll(async () => {
    image = await buildTestImage("vm", "_pc.test", DISK_BYTES);
  });
  afterEach(async () => {
    await machine?.kill();
    machine = undefined;
  });
  afterAll(async () => {
    await image?.[Symbol.asyncDispose]();
  });

  for (const hardware of all) {
    const { like, firmware, machine: chipset, disk, network } = hardware;
    const controller = disk.find((word) => !word.startsWith("-"))!.split(",")[0]!;
    const name = `${firmware} ${chipset}, ${controller}, ${network}`;
    it(`boots with ${name}, as of ${like}`, async () => {
      machine = await bootPc(image, hardware, `vm-${name.replaceAll(/[ ,]+/g, "-")}`);
      console.log(`${name}: ready after ${machine.bootSeconds.toFixed(0)} s`);
      const port = machine.port(ports.imaps);
      const mailbox = await withInbox(
        { imaps: port, submissions: 0 },
        inventAccount("_pc.test"),
        async (client) => client.mailbox,
      );
      expect(mailbox).toMatchObject({ exists: 0 });
    });
  }

  it.each(controllers)("finds its disk behind %s", async (controller) => {
    const hardware: PcHardware = {
      firmware: "BIOS",
      machine: "pc",
      disk: scsi(controller),
      network: "pcnet",
    };
    machine = await bootPc(image, hardware, `vm-${controller}`, "homing: slot");
    expect(machine.lines).toContain("homing: slot a on /dev/sda2");
  });
});
