/**
 * Joins real networks with what the image of a Raspberry Pi has for it: `node installer/launch.mjs --script
 * test/bench/wifi.ts`. The kernel and the root file system of the image run in QEMU with two radios that the kernel imitates
 * (mac80211_hwsim); on one of them Debian's hostapd is the access point, on the other wpa_supplicant gets the file that
 * the device would write. wifi-guest.sh runs in there without systemd, which alone would take minutes; so the units and
 * the Broadcom driver are no part of this. Prints a Markdown table, and ends with 1 unless all went as it must.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { supplicantConfig } from "../../appliance/files/wifi.ts";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { wifiKey } from "../../appliance/wifi.ts";
import { buildCpio } from "../../image/formats/cpio.ts";
import { writeSquashfs } from "../../image/formats/squashfs.ts";
import { decompressXz } from "../../image/formats/xz.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { loadPackage } from "../../image/packages/deb.ts";
import { fetchPackages } from "../../image/packages/download.ts";
import { type LockedPackage, readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { indexPackages } from "../../image/packages/package-index.ts";
import { fetchPackagesIndex, fetchRelease, type Suite } from "../../image/packages/release.ts";
import { resolvePackages } from "../../image/packages/resolve.ts";
import { buildRootfs } from "../../image/rootfs/build-rootfs.ts";
import { setFile, type Tree } from "../../image/rootfs/tree.ts";
import { consoleLines } from "../../installer/vm/console.ts";
import { emulatedProcessor, threadEach } from "../../installer/vm/emulation.ts";
import { findProgram } from "../../installer/vm/machine.ts";
import { printMedians } from "./tables.ts";

const SUITE: Suite = { archive: "debian", codename: "trixie", components: ["main"] };
const TIMEOUT = 900_000;
const home = { network: "Café Homing", country: "DE", hidden: false, open: false };
const hidden = { network: "Hid den", country: "DE", hidden: true, open: true };
const PASSWORD = "correct horse battery";

/** What hostapd.conf(5) says of every access point here. */
const accessPoint = ({ network }: typeof home, lines: readonly string[]) =>
  [
    ...["interface=wlan1", "driver=nl80211", "hw_mode=g", "channel=6", "country_code=DE"],
    `ssid2=${Buffer.from(network).toString("hex")}`,
    ...lines,
    "",
  ].join("\n");
const wpa = ["wpa=2", "rsn_pairwise=CCMP"];

const cache = defaultCacheDirectory();
const mirrors = await chooseMirrors({ env: process.env });
const lock = readLock();

/** The files of these paths in Debian's packages for arm64, by the last part of the path. */
async function filesOf(packages: readonly LockedPackage[], wanted: RegExp): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const paths = await fetchPackages(packages, { cache, mirrors, lockTime: lock.generated });
  for (const path of paths.values()) {
    for (const { type, path: name, content } of (await loadPackage(path)).entries) {
      if (type === "file" && wanted.test(name)) files.set(name.slice(name.lastIndexOf("/") + 1), content);
    }
  }
  return files;
}

async function toolPackages(): Promise<LockedPackage[]> {
  const source = { mirror: mirrors.debian, now: Date.now() / 1000 };
  const release = await fetchRelease(SUITE, source, undefined);
  const text = await fetchPackagesIndex(release, "main", "arm64", source);
  const names = ["hostapd", "iw", "busybox-static"];
  const all = resolvePackages(
    { packages: names.map((name) => ({ name, reason: "the test" })), leftOut: {}, preferred: {} },
    indexPackages([{ archive: "debian", backports: false, text }]),
  );
  return all.filter(({ name }) => names.includes(name));
}

/** The disk with what the guest runs, and what belongs to it. */
async function writeGuestDisk(path: string): Promise<void> {
  const tree: Tree = new Map();
  const tools = await filesOf(await toolPackages(), /(^|\/)s?bin\/(hostapd|iw|busybox)$/);
  for (const [name, content] of tools) setFile(tree, name, content, { mode: 0o755 });
  const kernel = lock.architectures.arm64.filter(({ name }) => name.startsWith("linux-modules-"));
  const [module] = (await filesOf(kernel, /\/mac80211_hwsim\.ko\.xz$/)).values();
  if (module === undefined) throw new Error("Debian's kernel has no mac80211_hwsim any more");
  const phrase = (text: string) => `wpa_passphrase=${text}`;
  const files: Record<string, string | Uint8Array> = {
    "mac80211_hwsim.ko": await decompressXz(module),
    "wifi-guest.sh": await readFile(join(import.meta.dirname, "wifi-guest.sh")),
    "home.wpa": supplicantConfig(home, wifiKey(home.network, PASSWORD)),
    "hidden.wpa": supplicantConfig(hidden, null),
    "wpa2.conf": accessPoint(home, [...wpa, "wpa_key_mgmt=WPA-PSK", phrase(PASSWORD)]),
    "other.conf": accessPoint(home, [...wpa, "wpa_key_mgmt=WPA-PSK", phrase("another pass phrase")]),
    "wpa3.conf": accessPoint(home, [...wpa, "wpa_key_mgmt=WPA-PSK SAE", "ieee80211w=1", phrase(PASSWORD)]),
    "hidden.conf": accessPoint(hidden, ["ignore_broadcast_ssid=1"]),
  };
  for (const [name, content] of Object.entries(files)) setFile(tree, name, content);
  await writeSquashfs(tree, path, { time: lock.generated });
}

/** /init in the place of the image's own: the root file system, memory where things are written, and the script. */
const init = `#!/bin/busybox sh
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /root /guest
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
for name in squashfs virtio_blk; do insmod /modules/$name.ko; done
for disk in vda vdb; do
  mount -t squashfs -o ro /dev/$disk /guest && [ -e /guest/wifi-guest.sh ] || { umount /guest; mount -t squashfs -o ro /dev/$disk /root; }
done
mount -t tmpfs tmpfs /root/run; mount -t tmpfs tmpfs /root/tmp
mkdir /root/run/guest; cp /guest/* /root/run/guest/
for name in dev proc sys; do mount -o move /$name /root/$name; done
# Not chroot: the kernel looks for firmware and modprobe below the root of the first process.
exec switch_root /root /bin/sh /run/guest/wifi-guest.sh
`;

type Step = Readonly<{ seconds: number }>;

/** The lines "STEP SECONDS WORDS" of the guest, in its own time. Throws unless each "yes" came and the end was reached. */
async function runGuest(work: string, squashfs: string): Promise<Map<string, Step[]>> {
  const program = findProgram("qemu-system-aarch64");
  if (program === undefined) throw new Error("qemu-system-aarch64 is missing");
  const disk = (path: string, id: string) => [
    ...["-drive", `if=none,id=${id},format=raw,readonly=on,file=${path}`],
    ...["-device", `virtio-blk-pci,drive=${id}`],
  ];
  const child = spawn(
    program,
    [
      ...["-machine", "virt", "-accel", threadEach, "-cpu", emulatedProcessor.arm64, "-m", "768"],
      ...["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"],
      ...["-kernel", join(work, "kernel"), "-initrd", join(work, "initrd")],
      ...["-append", "console=ttyAMA0,115200 quiet panic=10"],
      ...[...disk(squashfs, "root"), ...disk(join(work, "guest.img"), "guest")],
    ],
    { stdio: ["ignore", "pipe", "inherit"], timeout: TIMEOUT, killSignal: "SIGKILL" },
  );
  // Whatever ends this program, the guest must not stay behind.
  process.once("exit", () => child.kill("SIGKILL"));
  const lines: string[] = [];
  child.stdout.setEncoding("utf8").on(
    "data",
    consoleLines((line) => void lines.push(line)),
  );
  await new Promise((resolve) => child.once("exit", resolve));
  const steps = lines.flatMap((line) => {
    const [, seconds, words] = /^STEP ([\d.]+) (.*)$/.exec(line) ?? [];
    return words === undefined ? [] : [[words, Number(seconds)] as const];
  });
  if (steps.at(-1)?.[0] !== "end" || steps.some(([words]) => words.startsWith("NO")))
    throw new Error(`not all went as it must; the console:\n${lines.join("\n")}`);
  return new Map(
    steps.map(([words, seconds], index) => [words, [{ seconds: seconds - (steps[index - 1]?.[1] ?? 0) }]]),
  );
}

const work = await mkdtemp(join(tmpdir(), "homing-wifi-bench-"));
try {
  const rootfs = await buildRootfs({ architecture: "arm64", spec: rootfsSpec(), lock, cache, mirrors });
  await writeGuestDisk(join(work, "guest.img"));
  const tree: Tree = new Map();
  setFile(tree, "init", init, { mode: 0o755 });
  const { initramfs, kernel } = rootfs.boot;
  // An archive behind another one begins at a multiple of four bytes (Linux, Documentation/driver-api/early-userspace).
  const padding = Buffer.alloc(-initramfs.length & 3);
  const more = buildCpio(tree, { time: lock.generated });
  await writeFile(join(work, "initrd"), Buffer.concat([initramfs, padding, ...more]));
  await writeFile(join(work, "kernel"), kernel);
  const steps = await runGuest(work, rootfs.path);
  console.log(`load ${loadavg()[0]!.toFixed(1)}; seconds are the guest's, from the step before\n`);
  printMedians([["seconds", 1, ({ seconds }) => seconds]], steps);
} finally {
  await rm(work, { recursive: true, force: true });
}
