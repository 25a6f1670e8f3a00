/**
 * The Linux kernel of the packages: picks out the image, device trees and modules, leaves out the drivers of
 * hardware that no target has, and writes the index that modprobe reads. Called by build-rootfs.ts.
 */
import { decompressXz } from "../formats/xz.ts";
import { type PackageContent, usrMergedPath } from "./merge.ts";
import { buildModuleIndex } from "./module-index.ts";

/** The packages hold no kernel, two kernels, or not the parts it needs. */
export class KernelError extends Error {
  override name = "KernelError";
}

export type Kernel = Readonly<{
  /** As `uname -r` says it. */
  release: string;
  image: Uint8Array;
  /** Device trees of Raspberry Pis by file name. */
  deviceTrees: ReadonlyMap<string, Uint8Array>;
  /** Files for the root file system by path: modules as packaged (.ko.xz) and the index. */
  files: ReadonlyMap<string, Uint8Array>;
  /** Uncompressed modules by path below usr/lib/modules/RELEASE/ without ".xz" (kernel/fs/ext4/ext4.ko). */
  modules: ReadonlyMap<string, Uint8Array>;
  /** Modules that are part of the image, in the same form. */
  builtIn: ReadonlySet<string>;
}>;

const MODULE = /^kernel\/.*\.ko(\.xz)?$/;
const RASPBERRY_PI = /^dtb\/(?:[^/]+\/)?(bcm2[78]\d\d[^/]*\.dtb)$/;
const MODULE_FOLDER = /^usr\/lib\/modules\/([^/]+)\/(.+)$/;

/**
 * Reads the kernel out of the packages; which package a part is in has changed between Debian's kernels. Throws
 * KernelError, and the signal's reason when that is aborted.
 */
export async function readKernel(packages: readonly PackageContent[], signal?: AbortSignal): Promise<Kernel> {
  const parts = new Map<string, Uint8Array>();
  const releases = new Set<string>();
  for (const { entries } of packages) {
    for (const { type, path: packagedPath, content } of entries) {
      if (type !== "file") continue;
      const path = usrMergedPath(packagedPath);
      const inModules = MODULE_FOLDER.exec(path);
      const image = /^boot\/vmlinuz-(.+)$/.exec(path);
      if (inModules) parts.set(inModules[2]!, content);
      if (image) parts.set("vmlinuz", content);
      const release = inModules?.[1] ?? image?.[1];
      if (release) releases.add(release);
    }
  }
  const [release] = releases;
  if (release === undefined || releases.size > 1) {
    throw new KernelError(
      `the packages hold ${releases.size} kernels instead of one: ${[...releases].join(" ")}`,
    );
  }
  const part = (name: string): Uint8Array => {
    const content = parts.get(name);
    if (!content) throw new KernelError(`the packages of the kernel ${release} bring no ${name}`);
    return content;
  };

  const kept = [...parts].filter(([path]) => MODULE.test(path) && !isPruned(path));
  const modules = new Map<string, Uint8Array>(
    await Promise.all(
      kept.map(
        async ([path, content]): Promise<[string, Uint8Array]> =>
          path.endsWith(".xz") ? [path.slice(0, -3), await decompressXz(content, signal)] : [path, content],
      ),
    ),
  );
  const metadata = ["modules.order", "modules.builtin", "modules.builtin.modinfo"].map(
    (name): [string, Uint8Array] => [name, part(name)],
  );
  const packaged = new Map(kept.map(([path]) => [path, modules.get(path.replace(/\.xz$/, ""))!]));
  const index = buildModuleIndex(packaged, Object.fromEntries(metadata));
  const folder = `usr/lib/modules/${release}`;
  const files = new Map<string, Uint8Array>();
  for (const [path, content] of [...kept, ...metadata, ...index]) files.set(`${folder}/${path}`, content);

  const deviceTrees = new Map<string, Uint8Array>();
  for (const [path, content] of parts) {
    const name = RASPBERRY_PI.exec(path)?.[1];
    if (name) deviceTrees.set(name, content);
  }
  const builtIn = new Set(new TextDecoder().decode(part("modules.builtin")).split("\n").filter(Boolean));
  return { release, image: part("vmlinuz"), deviceTrees, files, modules, builtIn };
}

/**
 * Folders of drivers and protocols that neither a virtual machine nor a Raspberry Pi as a mail relay has use
 * for. Leaving out is the rule, so that a new driver of a kept kind is there without anybody's doing.
 */
const PRUNED = [
  "sound",
  "drivers/accel",
  "drivers/accessibility",
  "drivers/android",
  "drivers/atm",
  "drivers/block/drbd",
  "drivers/bluetooth",
  "drivers/comedi",
  "drivers/counter",
  "drivers/cxl",
  "drivers/edac",
  "drivers/extcon",
  "drivers/firewire",
  "drivers/fpga",
  "drivers/gnss",
  "drivers/gpu",
  "drivers/greybus",
  "drivers/hwtracing",
  "drivers/iio",
  "drivers/infiniband",
  "drivers/isdn",
  "drivers/leds/blink",
  "drivers/md",
  "drivers/media",
  "drivers/memstick",
  "drivers/misc/mei",
  "drivers/mtd",
  "drivers/net/can",
  "drivers/net/dsa",
  "drivers/net/fddi",
  "drivers/net/ieee802154",
  "drivers/net/ipa",
  "drivers/net/wwan",
  "drivers/nfc",
  "drivers/ntb",
  "drivers/nvdimm",
  "drivers/nvme/target",
  "drivers/parport",
  "drivers/pcmcia",
  "drivers/platform",
  "drivers/rapidio",
  "drivers/remoteproc",
  "drivers/soundwire",
  "drivers/spmi",
  "drivers/staging",
  "drivers/target",
  "drivers/thunderbolt",
  "drivers/ufs",
  "drivers/uio",
  "drivers/usb/gadget",
  "drivers/usb/misc",
  "drivers/usb/serial",
  "drivers/video",
  "drivers/w1",
  "fs/9p",
  "fs/adfs",
  "fs/affs",
  "fs/afs",
  "fs/befs",
  "fs/bfs",
  "fs/bcachefs",
  "fs/btrfs",
  "fs/ceph",
  "fs/coda",
  "fs/cramfs",
  "fs/dlm",
  "fs/ecryptfs",
  "fs/efs",
  "fs/erofs",
  "fs/f2fs",
  "fs/freevxfs",
  "fs/gfs2",
  "fs/hfs",
  "fs/hfsplus",
  "fs/hpfs",
  "fs/jffs2",
  "fs/jfs",
  "fs/lockd",
  "fs/minix",
  "fs/nfs",
  "fs/nfsd",
  "fs/nilfs2",
  "fs/ntfs3",
  "fs/ocfs2",
  "fs/omfs",
  "fs/orangefs",
  "fs/qnx4",
  "fs/qnx6",
  "fs/reiserfs",
  "fs/smb",
  "fs/sysv",
  "fs/ubifs",
  "fs/udf",
  "fs/ufs",
  "fs/xfs",
  "fs/zonefs",
  "net/6lowpan",
  "net/9p",
  "net/appletalk",
  "net/atm",
  "net/ax25",
  "net/batman-adv",
  "net/bluetooth",
  "net/can",
  "net/ceph",
  "net/dccp",
  "net/ieee802154",
  "net/l2tp",
  "net/mac802154",
  "net/mpls",
  "net/netrom",
  "net/nfc",
  "net/openvswitch",
  "net/phonet",
  "net/qrtr",
  "net/rds",
  "net/rose",
  "net/rxrpc",
  "net/sctp",
  "net/smc",
  "net/sunrpc",
  "net/tipc",
] as const;

/** Of these kinds only the makers named are kept: what hypervisors offer and what is on a Raspberry Pi or USB. */
const KEPT_MAKERS: Readonly<Record<string, readonly string[]>> = {
  "drivers/hwmon": ["pwm-fan.ko", "raspberrypi-hwmon.ko"], // a Pi 5's fan, undervoltage
  "drivers/input": ["evdev.ko", "keyboard/gpio_keys.ko"], // the power button
  "drivers/message": ["fusion/mptbase.ko", "fusion/mptsas.ko", "fusion/mptscsih.ko", "fusion/mptspi.ko"],
  "drivers/net/ethernet": [
    "amazon",
    "amd/pcnet32.ko",
    "broadcom/genet",
    "cadence",
    "google",
    "intel",
    "mellanox",
    "microsoft",
    "realtek",
  ],
  "drivers/net/wireless": ["broadcom"],
  "drivers/phy": ["broadcom"],
  "drivers/scsi": [
    "hv_storvsc.ko",
    "scsi_common.ko",
    "scsi_mod.ko",
    "scsi_transport_fc.ko",
    "scsi_transport_sas.ko",
    "scsi_transport_spi.ko",
    "sd_mod.ko",
    "sr_mod.ko",
    "sym53c8xx_2",
    "virtio_scsi.ko",
    "vmw_pvscsi.ko",
  ],
  "drivers/clk": ["bcm", "clk-rp1.ko"],
};

const pruned = new Set<string>(PRUNED.map((folder) => `kernel/${folder}`));
/** Kernel self-tests are modules too. */
const TESTS = /\/(?:tests?|kunit)\/|[-_](?:kunit|test)\.ko/;

/** Whether the module at `path` (kernel/drivers/…) stays out. */
export function isPruned(path: string): boolean {
  if (TESTS.test(path)) return true;
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    if (pruned.has(path.slice(0, end))) return true;
  }
  for (const [kind, kept] of Object.entries(KEPT_MAKERS)) {
    const prefix = `kernel/${kind}/`;
    if (path.startsWith(prefix)) return !kept.some((maker) => path.startsWith(prefix + maker));
  }
  return false;
}
