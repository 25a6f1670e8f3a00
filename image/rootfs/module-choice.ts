/**
 * Which modules of Debian's kernel are left out: the drivers of hardware that no target has, and protocols that a mail
 * relay never speaks. Called by kernel.ts; pure functions of the path.
 */
import type { Architecture } from "../spec.ts";

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
  "drivers/net/arcnet",
  "drivers/net/can",
  "drivers/net/dsa",
  "drivers/net/fddi",
  "drivers/net/fjes",
  "drivers/net/hamradio",
  "drivers/net/ieee802154",
  "drivers/net/ipa",
  "drivers/net/ppp",
  "drivers/net/slip",
  "drivers/net/wan",
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
  "drivers/vdpa",
  "drivers/vfio",
  "drivers/vhost",
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
  "net/netfilter/ipset",
  "net/netfilter/ipvs",
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
  "drivers/crypto": ["bcm", "virtio"],
  "drivers/hid": ["hid-generic.ko", "hid-hyperv.ko", "hid.ko", "usbhid"], // keyboards
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

/** A virtual machine has no radio, and runs no other machines. */
const PRUNED_BESIDES: Readonly<Record<Architecture, readonly string[]>> = {
  amd64: [
    "arch/x86/kvm",
    "drivers/net/wireless",
    "drivers/ssb",
    "drivers/bcma",
    "net/mac80211",
    "net/wireless",
  ],
  arm64: [],
};

const pruned = new Set<string>(PRUNED.map((folder) => `kernel/${folder}`));
/** Kernel self-tests are modules too. */
const TESTS = /\/(?:tests?|kunit)\/|[-_](?:kunit|test)\.ko|\/test_[^/]*\.ko/;

/** Whether the module at `path` (kernel/drivers/…) stays out. */
export function isPruned(path: string, architecture: Architecture): boolean {
  if (TESTS.test(path)) return true;
  if (PRUNED_BESIDES[architecture].some((folder) => path.startsWith(`kernel/${folder}/`))) return true;
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    if (pruned.has(path.slice(0, end))) return true;
  }
  for (const [kind, kept] of Object.entries(KEPT_MAKERS)) {
    const prefix = `kernel/${kind}/`;
    if (path.startsWith(prefix)) return !kept.some((maker) => path.startsWith(prefix + maker));
  }
  return false;
}
