/**
 * What takes the room in an image, and why it is there: `node installer/launch.mjs --script test/bench/sizes.ts
 * [vm|pi]`. One row for each Debian package or part of ours, the largest first; compressed as the squashfs compresses
 * it, in blocks of its own. The reasons are those of image/packages/selection.ts, or the packages that ask for it.
 */
import { parseArgs } from "node:util";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { targets } from "../../image/build.ts";
import { BLOCK_LOG, DEFAULT_LEVEL } from "../../image/formats/squashfs.ts";
import { compressFrameSync } from "../../image/formats/zstd-frame.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { loadPackage } from "../../image/packages/deb.ts";
import { fetchPackages } from "../../image/packages/download.ts";
import { type LockedPackage, readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { packagesFor } from "../../image/packages/selection.ts";
import { usrMergedPath } from "../../image/rootfs/merge.ts";
import { makeRootContent, readPrograms } from "../../image/rootfs/root-content.ts";
import type { Architecture } from "../../image/spec.ts";
import type { TargetName } from "../../image/targets/target.ts";

const ROWS = 20;
const FRAME = { level: DEFAULT_LEVEL, windowLog: BLOCK_LOG } as const;
const BLOCK_BYTES = 1 << FRAME.windowLog;

type Thing = { name: string; why: string; contents: Uint8Array[] };

const mirrors = await chooseMirrors({ env: process.env });
const cache = defaultCacheDirectory(process.env);
const lock = readLock();

/** The package of each path, and for each package those that ask for it. */
async function readOwners(locked: readonly LockedPackage[]) {
  const owners = new Map<string, string>();
  const askedBy = new Map<string, string[]>();
  const paths = await fetchPackages(locked, { cache, mirrors, lockTime: lock.generated });
  for (const [name, path] of paths) {
    const { control, entries } = await loadPackage(path);
    for (const entry of entries) if (entry.type === "file") owners.set(usrMergedPath(entry.path), name);
    const wanted = `${control.get("pre-depends") ?? ""},${control.get("depends") ?? ""}`.matchAll(
      /(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]+)/g,
    );
    for (const [, other] of wanted) askedBy.set(other!, [...(askedBy.get(other!) ?? []), name]);
  }
  return { owners, askedBy };
}

function reasonOf(
  name: string,
  architecture: Architecture,
  askedBy: ReadonlyMap<string, readonly string[]>,
): string {
  const selected = packagesFor(architecture).packages.find((one) => one.name === name);
  if (selected) return selected.reason;
  const by = askedBy.get(name) ?? [];
  const shown = by.slice(0, 4).join(", ");
  return by.length > 4 ? `for ${shown} and ${by.length - 4} more` : `for ${shown}`;
}

function compressedBytes(contents: readonly Uint8Array[]): number {
  const all = Buffer.concat(contents);
  let bytes = 0;
  for (let at = 0; at < all.length; at += BLOCK_BYTES) {
    const block = all.subarray(at, at + BLOCK_BYTES);
    bytes += Math.min(block.length, compressFrameSync(block, FRAME).length);
  }
  return bytes;
}

async function printSizes(target: TargetName): Promise<void> {
  const { architecture } = targets[target];
  const { owners, askedBy } = await readOwners(lock.architectures[architecture]);
  const options = { architecture, spec: rootfsSpec(), lock, cache, mirrors };
  const { tree, boot } = await makeRootContent(options, await readPrograms(options));

  const things = new Map<string, Thing>();
  const add = (name: string, why: () => string, content: Uint8Array) => {
    const thing = things.get(name) ?? { name, why: why(), contents: [] };
    thing.contents.push(content);
    things.set(name, thing);
  };
  for (const [path, entry] of [...tree].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (entry.type !== "file") continue;
    const owner = owners.get(path);
    if (path === "usr/lib/homing/node") add("Node", () => "runs our services", entry.content);
    else if (/^usr\/lib\/modules\//.test(path))
      add("kernel modules", () => "drivers and protocols that a target may need", entry.content);
    else if (owner !== undefined) add(owner, () => reasonOf(owner, architecture, askedBy), entry.content);
    else add("Homing", () => "our services, settings and the bill of materials", entry.content);
  }
  const pieces: [name: string, why: string, contents: Uint8Array[]][] = [
    ["boot: kernel", "the Linux kernel", [boot.kernel]],
    ["boot: initramfs", "finds and mounts the disks", [boot.initramfs]],
    [
      "boot: loaders",
      "UEFI and BIOS",
      [boot.bootLoader, ...(boot.biosLoader ? Object.values(boot.biosLoader) : [])],
    ],
    ["boot: device trees", "what hardware a Raspberry Pi has", [...boot.deviceTrees.values()]],
    ["boot: firmware", "starts a Raspberry Pi 3, 4 or Zero 2", [...boot.firmware.values()]],
  ];
  for (const [name, why, contents] of pieces) things.set(name, { name, why, contents });

  const rows = [...things.values()]
    .map(({ name, why, contents }) => ({
      name,
      why,
      bytes: contents.reduce((sum, { length }) => sum + length, 0),
      compressed: compressedBytes(contents),
    }))
    .sort((a, b) => b.compressed - a.compressed);
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  const sum = (list: typeof rows, key: "bytes" | "compressed") =>
    megabytes(list.reduce((total, row) => total + row[key], 0));
  const others = rows.slice(ROWS);
  console.log(`\n### ${target}\n\n| part | MB | compressed | why |\n|---|---:|---:|---|`);
  for (const { name, bytes, compressed, why } of rows.slice(0, ROWS))
    console.log(`| ${name} | ${megabytes(bytes)} | ${megabytes(compressed)} | ${why} |`);
  console.log(`| ${others.length} others | ${sum(others, "bytes")} | ${sum(others, "compressed")} | |`);
  console.log(`| all | ${sum(rows, "bytes")} | ${sum(rows, "compressed")} | |`);
}

const [wanted] = parseArgs({ allowPositionals: true }).positionals;
for (const target of ["vm", "pi"] as const) {
  if (wanted === undefined || wanted === target) await printSizes(target);
}
