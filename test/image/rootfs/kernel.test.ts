import { describe, expect, it } from "vitest";
import { KernelError, readKernel } from "../../../image/rootfs/kernel.ts";
import { isPruned } from "../../../image/rootfs/module-choice.ts";
import { moduleFile } from "./module-file.ts";
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
    "kernel/drivers/hid/hid-generic.ko.xz", // keyboards on USB
    "kernel/drivers/hid/usbhid/usbhid.ko.xz",
    "kernel/fs/fat/vfat.ko.xz",
    "kernel/fs/overlayfs/overlay.ko.xz",
    "kernel/net/netfilter/nf_tables.ko.xz",
  ])("keeps %s", (path) => {
    expect(isPruned(path, "arm64")).toBe(false);
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
    "kernel/lib/test_bpf.ko.xz",
    "kernel/drivers/hid/hid-sony.ko.xz",
    "kernel/drivers/crypto/ccp/ccp.ko.xz",
  ])("leaves out %s", (path) => {
    expect(isPruned(path, "arm64")).toBe(true);
    expect(isPruned(path, "amd64")).toBe(true);
  });
});

describe("which kernel modules a virtual machine goes without", () => {
  it.each([
    "kernel/drivers/net/wireless/broadcom/brcm80211/brcmfmac/brcmfmac.ko.xz",
    "kernel/net/mac80211/mac80211.ko.xz",
    "kernel/arch/x86/kvm/kvm.ko.xz",
  ])("%s", (path) => {
    expect(isPruned(path, "amd64")).toBe(true);
    expect(isPruned(path, "arm64")).toBe(false);
  });

  it.each([
    "kernel/arch/x86/crypto/aesni-intel.ko.xz",
    "kernel/drivers/ata/ata_piix.ko.xz",
    "kernel/drivers/hid/hid-hyperv.ko.xz",
    "kernel/drivers/net/ethernet/amd/pcnet32.ko.xz",
    "kernel/drivers/net/vmxnet3/vmxnet3.ko.xz",
    "kernel/drivers/virtio/virtio_balloon.ko.xz",
    "kernel/drivers/watchdog/i6300esb.ko.xz",
  ])("but not without %s", (path) => {
    expect(isPruned(path, "amd64")).toBe(false);
  });
});

describe("finding the kernel in the packages", () => {
  it("refuses packages without a kernel, with two kernels, or with a part missing", async () => {
    await expect(readKernel([], "amd64")).rejects.toThrow(KernelError);
    const two = [
      { name: "linux", entries: [tarEntry("boot/vmlinuz-6.1"), tarEntry("usr/lib/modules/6.2/vmlinuz")] },
    ];
    await expect(readKernel(two, "amd64")).rejects.toThrow(/2 kernels instead of one: 6\.1 6\.2/);
    const partial = [{ name: "linux", entries: [tarEntry("boot/vmlinuz-6.1")] }];
    await expect(readKernel(partial, "amd64")).rejects.toThrow(/6\.1 bring no modules\.order/);
  });

  it("leaves out a module that needs one that is not there, and what needs that in turn", async () => {
    const folder = "usr/lib/modules/6.1";
    const module = (path: string, depends: string) =>
      tarEntry(`${folder}/kernel/${path}`, {
        content: moduleFile({ info: [`depends=${depends}`, "license=GPL"] }),
      });
    const metadata = ["modules.order", "modules.builtin.modinfo"].map((name) =>
      tarEntry(`${folder}/${name}`, { content: Buffer.alloc(0) }),
    );
    const entries = [
      tarEntry("boot/vmlinuz-6.1"),
      ...metadata,
      tarEntry(`${folder}/modules.builtin`, { content: Buffer.from("kernel/lib/crc-16.ko\n") }),
      module("fs/whole.ko", "crc_16,jbd2"),
      module("fs/jbd2.ko", ""),
      module("net/mac80211/mac80211.ko", ""),
      module("net/needs-radio.ko", "whole,mac80211"),
      module("net/needs_it_too.ko", "needs-radio"),
    ];
    const names = async (architecture: "amd64" | "arm64") => {
      const { modules, files } = await readKernel([{ name: "linux", entries }], architecture);
      const installed = [...files.keys()].filter((path) => path.endsWith(".ko"));
      expect(installed).toEqual([...modules.keys()].map((path) => `${folder}/${path}`));
      expect(new TextDecoder().decode(files.get(`${folder}/modules.dep`)).split("\n")).toHaveLength(
        modules.size + 1,
      );
      return [...modules].map(([path, { depends }]) => [path, ...depends]);
    };
    expect(await names("amd64")).toEqual([["kernel/fs/whole.ko", "crc_16", "jbd2"], ["kernel/fs/jbd2.ko"]]);
    expect((await names("arm64")).map(([path]) => path)).toContain("kernel/net/needs_it_too.ko");
  });
});
