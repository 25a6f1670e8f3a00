/**
 * Finished images under `./homing audit`: everything in them has an origin, and what was put in or changed afterwards
 * is listed, it alone. No machine is booted here.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { writeSquashfs } from "../../image/formats/squashfs.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import type { RootfsOptions } from "../../image/rootfs/build-rootfs.ts";
import { makeRootContent, readPrograms } from "../../image/rootfs/root-content.ts";
import { setFile, setSymlink } from "../../image/rootfs/tree.ts";
import { partitions } from "../../image/targets/target.ts";
import { runHoming } from "../support/command-io.ts";
import { buildTestImage } from "../support/qemu.ts";
import { readTestLock, testLockFile } from "../support/test-lock.ts";

it("finds the origin of everything in the pi image", async () => {
  await using made = await buildTestImage("pi", "_pi.test");
  const { code, stdout, stderr } = await runHoming([
    ...["audit", made.image.path],
    ...["--relay", join(made.folder, "relay")],
    ...["--lock", testLockFile()],
  ]);
  expect([code, stdout], stderr).toEqual([0, expect.stringContaining("Unknown:  none")]);
  expect(stdout).toContain(
    "Relay:    keys/acme-account.pem, keys/dkim-homing1.pem, keys/tls.pem, relay.toml",
  );
});

it("lists what was put into a vm image or changed in it, and nothing else", async () => {
  await using made = await buildTestImage("vm", "_vm.test");
  const lock = readTestLock();
  const options: RootfsOptions = {
    architecture: "amd64",
    spec: rootfsSpec(),
    lock,
    cache: defaultCacheDirectory(process.env),
    mirrors: await chooseMirrors({ env: process.env }),
  };
  const { tree } = await makeRootContent(options, await readPrograms(options));
  setFile(tree, "usr/bin/evil", "#!/bin/sh\n", { mode: 0o4755 });
  setSymlink(tree, "etc/systemd/system/multi-user.target.wants/evil.service", "/usr/bin/evil");
  setFile(tree, "etc/hosts", "192.0.2.66 bank.example\n");
  tree.delete("usr/lib/systemd/system/nftables.service");
  const squashfs = join(made.folder, "evil.squashfs");
  await writeSquashfs(tree, squashfs, { time: lock.generated, level: 1 });
  {
    await using disk = await open(made.image.path, "r+");
    await using evil = await open(squashfs);
    const { size } = await evil.stat();
    const piece = Buffer.alloc(1 << 20);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await evil.read(piece, 0, piece.length, at);
      await disk.write(piece, 0, bytesRead, partitions.rootA.startBytes + at);
      at += bytesRead;
    }
    // Room of no partition, which a BIOS could be told to run.
    await disk.write(Buffer.from("evil"), 0, 4, 600_000);
  }
  const { code, stdout, stderr } = await runHoming([
    ...["audit", made.image.path, "--json"],
    ...["--lock", testLockFile()],
  ]);
  expect(code, stderr).toBe(1);
  const { findings } = JSON.parse(stdout) as { findings: { place: string; path: string; problem: string }[] };
  expect(findings.map(({ place, path }) => `${place}: ${path}`).sort()).toEqual([
    "disk: bytes 600000 to 600003",
    "root file system: /etc/hosts",
    "root file system: /etc/systemd/system/multi-user.target.wants/evil.service",
    "root file system: /usr/bin/evil",
    "root file system: /usr/lib/systemd/system/nftables.service",
  ]);
  expect(findings.find(({ path }) => path === "/etc/hosts")!.problem).toContain(
    "image/rootfs/system-files.ts",
  );
});
