import { describe, expect, it } from "vitest";
import { keepNeeded } from "../../../image/rootfs/needed-content.ts";
import { tarEntry } from "./tar-entry.ts";

const paths = [
  "usr/bin/busybox",
  "usr/share/man/man1/sh.1",
  "usr/share/doc/linux/copyright",
  "boot/vmlinuz-6.1",
  "boot/System.map-6.1",
  "usr/lib/modules/6.1/modules.order",
  "lib/modules/6.1/kernel/fs/ext4/ext4.ko.xz", // from before the merge of /usr
  "usr/lib/modules/6.1/kernel/sound/snd.ko.xz",
  "usr/lib/modules/6.1/dtb/broadcom/bcm2711-rpi-4-b.dtb",
  "usr/lib/modules/6.1/dtb/qcom/sc7180.dtb",
];
const entries = paths.map((path) => tarEntry(path));

function keptPaths(name: string, use: "rootfs" | "initramfs"): string[] {
  const kept = keepNeeded({ name, entries }, use, "arm64");
  expect(kept.entries.map(({ path }) => path)).toEqual(paths);
  return kept.entries.flatMap(({ path, content }) => {
    if (content.length > 0) expect(Buffer.from(content).toString()).toBe(path);
    return content.length > 0 ? [path] : [];
  });
}

describe("keepNeeded", () => {
  it("keeps of a package of the root file system what goes into it, and the kernel", () => {
    expect(keptPaths("linux", "rootfs")).toEqual([
      "usr/bin/busybox",
      "usr/share/doc/linux/copyright",
      "boot/vmlinuz-6.1",
      "usr/lib/modules/6.1/modules.order",
      "lib/modules/6.1/kernel/fs/ext4/ext4.ko.xz",
      "usr/lib/modules/6.1/dtb/broadcom/bcm2711-rpi-4-b.dtb",
    ]);
  });

  it("keeps of a package for booting the boot files that are its own", () => {
    expect(keptPaths("busybox-static", "initramfs")).toContain("usr/bin/busybox");
    expect(keptPaths("busybox", "initramfs")).not.toContain("usr/bin/busybox");
    expect(keptPaths("busybox-static", "initramfs")).not.toContain("usr/share/doc/linux/copyright");
  });

  it("holds on to nothing of the archive", () => {
    const archive = new Uint8Array(1 << 20);
    const one = tarEntry("usr/bin/true", { content: archive.subarray(512, 1024) });
    const [kept] = keepNeeded({ name: "coreutils", entries: [one] }, "rootfs", "amd64").entries;
    expect(kept?.content.buffer.byteLength).toBe(512);
  });
});
