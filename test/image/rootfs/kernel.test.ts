import { describe, expect, it } from "vitest";
import { isPruned, KernelError, readKernel } from "../../../image/rootfs/kernel.ts";
import { tarEntry } from "./tar-entry.ts";

describe("which kernel modules are left out", () => {
  it.each([
    "kernel/drivers/mmc/host/sdhci-brcmstb.ko.xz", // the card slot of a Pi 5
    "kernel/drivers/net/ethernet/broadcom/genet/genet.ko.xz", // the network of a Pi 4
    "kernel/drivers/net/ethernet/cadence/macb.ko.xz", // the network of a Pi 5
    "kernel/drivers/net/usb/lan78xx.ko.xz", // the network of a Pi 3
    "kernel/drivers/net/wireless/broadcom/brcm80211/brcmfmac/brcmfmac.ko.xz",
    "kernel/drivers/net/virtio_net.ko.xz",
    "kernel/drivers/net/ethernet/amazon/ena/ena.ko.xz",
    "kernel/drivers/scsi/virtio_scsi.ko.xz",
    "kernel/drivers/input/evdev.ko.xz",
    "kernel/fs/fat/vfat.ko.xz",
    "kernel/fs/overlayfs/overlay.ko.xz",
    "kernel/net/netfilter/nf_tables.ko.xz",
  ])("keeps %s", (path) => {
    expect(isPruned(path)).toBe(false);
  });

  it.each([
    "kernel/sound/core/snd.ko.xz",
    "kernel/drivers/gpu/drm/drm.ko.xz",
    "kernel/drivers/net/ethernet/broadcom/bnx2.ko.xz",
    "kernel/drivers/net/wireless/intel/iwlwifi/iwlwifi.ko.xz",
    "kernel/drivers/scsi/hpsa.ko.xz",
    "kernel/fs/btrfs/btrfs.ko.xz",
    "kernel/lib/tests/list-test.ko.xz",
    "kernel/fs/ext4/ext4-inode-test.ko.xz",
  ])("leaves out %s", (path) => {
    expect(isPruned(path)).toBe(true);
  });
});

describe("finding the kernel in the packages", () => {
  it("refuses packages without a kernel, with two kernels, or with a part missing", async () => {
    await expect(readKernel([])).rejects.toThrow(KernelError);
    const two = [
      { name: "linux", entries: [tarEntry("boot/vmlinuz-6.1"), tarEntry("usr/lib/modules/6.2/vmlinuz")] },
    ];
    await expect(readKernel(two)).rejects.toThrow(/2 kernels instead of one: 6\.1 6\.2/);
    const partial = [{ name: "linux", entries: [tarEntry("boot/vmlinuz-6.1")] }];
    await expect(readKernel(partial)).rejects.toThrow(/6\.1 bring no modules\.order/);
  });
});
