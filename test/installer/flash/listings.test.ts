/**
 * What each system's program prints becomes disks. The listings have the fields and shapes of lsblk(8) of util-linux
 * 2.38, diskutil(8) of macOS 14 and PowerShell's Storage module; lsblk's own is also asked for real.
 */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Disk, whyNot } from "../../../installer/flash/disk.ts";
import { lsblkArguments, parseLsblk } from "../../../installer/flash/linux.ts";
import { parseDiskutil, wholeDisks } from "../../../installer/flash/macos.ts";
import { readMmcCards } from "../../../installer/flash/mmc.ts";
import { parseGetDisk } from "../../../installer/flash/windows.ts";

const GIGABYTE = 1e9;

/** Which disks may be written to, and why not the others. */
const verdicts = (disks: readonly Disk[]) =>
  Object.fromEntries(disks.map((disk) => [disk.device, whyNot(disk, GIGABYTE)]));

describe("Linux", () => {
  const disk = (path: string, more: object) => ({
    path,
    type: "disk",
    size: 32 * GIGABYTE,
    model: "Card  Reader\u001b[2J",
    vendor: "Generic ",
    tran: "usb",
    rm: true,
    hotplug: true,
    ro: false,
    mountpoint: null,
    ...more,
  });
  const part = (path: string, mountpoint: string | null, more: object = {}) => ({
    ...disk(path, { model: null, vendor: null, mountpoint }),
    type: "part",
    ...more,
  });
  const listing = (...blockdevices: object[]) => JSON.stringify({ blockdevices });

  test("a card in a reader may be written to, and its name is no text for a terminal", () => {
    const disks = parseLsblk(listing(disk("/dev/sdb", { children: [part("/dev/sdb1", null)] })));
    expect(disks).toEqual([
      {
        device: "/dev/sdb",
        model: "Generic Card Reader [2J",
        bytes: 32 * GIGABYTE,
        removable: true,
        readOnly: false,
        system: false,
        mounts: [],
      },
    ]);
    expect(whyNot(disks[0]!, GIGABYTE)).toBeUndefined();
  });

  test("what the system is on is refused, however deep below", () => {
    const encrypted = part("/dev/sda2", null, {
      children: [
        {
          ...part("/dev/mapper/luks", null),
          type: "crypt",
          children: [{ ...part("/dev/mapper/vg-swap", "[SWAP]"), type: "lvm" }],
        },
      ],
    });
    expect(verdicts(parseLsblk(listing(disk("/dev/sda", { children: [encrypted] }))))).toEqual({
      "/dev/sda": "this computer runs from it",
    });
  });

  test("each other reason is told", () => {
    const found = verdicts(
      parseLsblk(
        listing(
          disk("/dev/nvme0n1", { rm: false, hotplug: false, tran: "nvme" }),
          disk("/dev/sdc", { children: [part("/dev/sdc1", "/media/somebody/CAMERA")] }),
          disk("/dev/sdd", { size: 0 }),
          disk("/dev/sde", { size: GIGABYTE }),
          disk("/dev/mmcblk0", { tran: "mmc", ro: true }),
          disk("/dev/mmcblk1boot0", { tran: "mmc", size: 4 << 20 }),
          // Before util-linux 2.33 everything is text.
          disk("/dev/sdf", { rm: "1", hotplug: "1", ro: "0", size: String(8 * GIGABYTE) }),
        ),
      ),
    );
    expect(found).toEqual({
      "/dev/nvme0n1": expect.stringContaining("built in"),
      "/dev/sdc": expect.stringMatching(/in use at \/media\/somebody\/CAMERA: .*sudo umount \/dev\/sdc/),
      "/dev/sdd": expect.stringContaining("no card"),
      "/dev/sde": expect.stringContaining("too small: 1.0 GB"),
      "/dev/mmcblk0": expect.stringContaining("write-protected"),
      "/dev/sdf": undefined,
    });
  });

  test("an eMMC is built in by its boot areas in the list, though the list calls it pluggable", () => {
    const emmc = disk("/dev/mmcblk1", { tran: "mmc", rm: false });
    const areas = [disk("/dev/mmcblk1boot0", {}), disk("/dev/mmcblk1boot1", {})];
    const found = verdicts(parseLsblk(listing(emmc, ...areas, disk("/dev/mmcblk0", { rm: false }))));
    expect(found).toEqual({ "/dev/mmcblk1": expect.stringContaining("built in"), "/dev/mmcblk0": undefined });
  });

  test("an eMMC is built in by what the kernel calls it, and cards have the names that it knows", async () => {
    const folder = await mkdtemp(join(tmpdir(), "homing-mmc-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const card = async (name: string, type: string, model: string) => {
      await mkdir(join(folder, name, "device"), { recursive: true });
      await writeFile(join(folder, name, "device", "type"), `${type}\n`);
      await writeFile(join(folder, name, "device", "name"), `${model}\n`);
    };
    await card("mmcblk0", "SD", "SC32G");
    await card("mmcblk1", "MMC", "DG4016");
    await card("sda", "0", "");
    const cards = await readMmcCards(folder);
    const nameless = { tran: "mmc", model: null, vendor: null };
    const disks = parseLsblk(
      listing(disk("/dev/mmcblk0", nameless), disk("/dev/mmcblk1", nameless), disk("/dev/sda", {})),
      cards,
    );
    expect(disks.map(({ model }) => model)).toEqual(["SC32G", "DG4016", "Generic Card Reader [2J"]);
    expect(verdicts(disks)).toEqual({
      "/dev/mmcblk0": undefined,
      "/dev/mmcblk1": expect.stringContaining("built in"),
      "/dev/sda": undefined,
    });
    expect([...(await readMmcCards(join(folder, "none")))]).toEqual([]);
  });

  test.skipIf(process.platform !== "linux")("the lsblk of this computer can be read", () => {
    const text = execFileSync("lsblk", lsblkArguments, { encoding: "utf8" });
    expect(() => parseLsblk(text)).not.toThrow();
  });

  test.each(["", "{}", '{"blockdevices": [{"path": 1}]}'])("a listing like %j is told", (text) => {
    expect(() => parseLsblk(text)).toThrow("lsblk gave a list of disks that cannot be read");
  });
});

test("macOS: cards may be written to, in a slot of the Mac too; what the system is on may not", () => {
  const list = JSON.stringify({
    AllDisks: ["disk0", "disk3", "disk4", "disk5"],
    AllDisksAndPartitions: [
      { DeviceIdentifier: "disk0", Size: 5e11, Partitions: [{ DeviceIdentifier: "disk0s2" }] },
      {
        DeviceIdentifier: "disk3",
        APFSPhysicalStores: [{ DeviceIdentifier: "disk0s2" }],
        APFSVolumes: [{ DeviceIdentifier: "disk3s1", MountPoint: "/" }],
        Partitions: [],
      },
      { DeviceIdentifier: "disk4", Partitions: [{ MountPoint: "/Volumes/NO NAME" }] },
      { DeviceIdentifier: "disk5", Partitions: [] },
    ],
    WholeDisks: ["disk0", "disk3", "disk4", "disk5"],
  });
  const info = (DeviceIdentifier: string, more: object) =>
    JSON.stringify({
      DeviceIdentifier,
      MediaName: "Built In SDXC Reader",
      TotalSize: 32 * GIGABYTE,
      RemovableMediaOrExternalDevice: true,
      WritableMedia: true,
      VirtualOrPhysical: "Physical",
      ...more,
    });
  const disks = parseDiskutil(list, [
    info("disk0", { RemovableMediaOrExternalDevice: false, MediaName: "APPLE SSD" }),
    info("disk3", { VirtualOrPhysical: "Virtual" }),
    info("disk4", {}),
    info("disk5", {}),
  ]);
  expect(wholeDisks(list)).toEqual(["disk0", "disk3", "disk4", "disk5"]);
  expect(verdicts(disks)).toEqual({
    "/dev/disk0": "this computer runs from it",
    "/dev/disk4": "it is in use at /Volumes/NO NAME: diskutil unmountDisk /dev/disk4",
    "/dev/disk5": undefined,
  });
  expect(disks.at(-1)).toMatchObject({ model: "Built In SDXC Reader", bytes: 32 * GIGABYTE });
});

test("Windows: a disk is known by its bus", () => {
  const disk = (index: number, BusType: string, more: object = {}) => ({
    Number: index,
    FriendlyName: "Generic MassStorageClass",
    Size: 32 * GIGABYTE,
    IsBoot: false,
    IsSystem: false,
    IsReadOnly: false,
    BusType,
    ...more,
  });
  const disks = parseGetDisk(
    JSON.stringify({
      disks: [
        disk(0, "NVMe", { IsBoot: true, IsSystem: true }),
        disk(1, "SATA"),
        disk(2, "USB"),
        disk(3, "SD"),
        disk(4, "USB", { Size: null, IsBoot: null }),
      ],
      partitions: [{ DiskNumber: 3, DriveLetter: "E" }],
    }),
  );
  expect(verdicts(disks)).toEqual({
    "\\\\.\\PhysicalDrive0": "this computer runs from it",
    "\\\\.\\PhysicalDrive1": expect.stringContaining("built in"),
    "\\\\.\\PhysicalDrive2": undefined,
    "\\\\.\\PhysicalDrive3": expect.stringContaining("in use at E:"),
    "\\\\.\\PhysicalDrive4": expect.stringContaining("no card"),
  });
});
