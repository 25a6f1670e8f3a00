/**
 * Puts a root file system of a few megabytes into a cache where a build looks for the real one, so that what comes after
 * it can be tested in seconds and without any package. Nothing can boot from it.
 */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import type { BuildOptions } from "../../image/build.ts";
import { targets } from "../../image/build.ts";
import { rootfsFolder } from "../../image/rootfs/build-rootfs.ts";
import { readPrograms } from "../../image/rootfs/root-content.ts";
import { storeRootfs } from "../../image/rootfs/rootfs-cache.ts";

/** Nothing shrinks it: what is compressed takes as much room. */
export const SMALL_ROOTFS_BYTES = 8 << 20;

export async function putSmallRootfs(options: Omit<BuildOptions, "relay" | "out">): Promise<void> {
  const rootfs = { ...options, architecture: targets[options.target].architecture };
  const boot = {
    kernel: Buffer.alloc(300_000, "kernel"),
    initramfs: Buffer.alloc(70_000, "initramfs"),
    bootLoader: Buffer.from("loader"),
    ...{ deviceTrees: new Map(), firmware: new Map(), biosLoader: undefined },
  };
  const folder = await rootfsFolder(rootfs, await readPrograms(rootfs));
  await storeRootfs(folder, { boot, sbom: Buffer.from('{"bomFormat": "CycloneDX"}') }, async (path) => {
    await writeFile(path, randomBytes(SMALL_ROOTFS_BYTES));
    return { bytes: SMALL_ROOTFS_BYTES };
  });
}
