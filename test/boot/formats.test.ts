/**
 * The finished images of both targets under the well-known tools: partition tables, the boot partition with its files,
 * the root file system, the initramfs. No machine is booted here; test/image/formats judges the writers by random
 * content, root-content.test.ts the root file system by Debian's packages.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readFat } from "../../image/audit/fat-reader.ts";
import { readFileAt, readFrom } from "../../image/audit/read-at.ts";
import { readSquashfs } from "../../image/audit/squashfs-reader.ts";
import { partitions } from "../../image/targets/target.ts";
import { buildTestImage, type TestImage } from "../support/qemu.ts";

const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, TZ: "UTC", LC_ALL: "C" };
const tools = ["sfdisk", "sgdisk", "fsck.vfat", "mdir", "mcopy", "unsquashfs", "cpio"];
const missing = tools.filter(
  (tool) => spawnSync(tool, ["--version"], { env: environment }).error !== undefined,
);
const reason = missing.length > 0 ? ` (needs ${missing.join(", ")})` : "";

/** Standard output of a tool that ends well; what it complains about is an error as well. */
function tool(command: string, args: readonly string[], input?: Buffer): string {
  const { status, stdout, stderr } = spawnSync(command, args, {
    env: environment,
    encoding: "utf8",
    maxBuffer: 64 << 20,
    ...(input && { input }),
  });
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stdout}${stderr}`);
  return stdout;
}

describe.skipIf(missing.length > 0).each(["vm", "pi"] as const)(`the %s image${reason}`, (target) => {
  let made: TestImage;
  let image: string;
  beforeAll(async () => {
    made = await buildTestImage(target, `_${target}.test`);
    image = made.image.path;
  });
  afterAll(() => made?.[Symbol.asyncDispose]());
  /** The image from a partition's first byte on. */
  const reading = async <Result>(
    { startBytes }: { startBytes: number },
    use: (read: ReturnType<typeof readFileAt>) => Promise<Result>,
  ): Promise<Result> => {
    await using file = await open(image);
    return await use(readFrom(readFileAt(file), startBytes));
  };

  it("has a partition table that sfdisk and sgdisk find sound", () => {
    expect(tool("sfdisk", ["--verify", image])).toContain("No errors detected");
    if (target === "vm") expect(tool("sgdisk", ["-v", image])).toContain("No problems found");
    const { partitiontable } = JSON.parse(tool("sfdisk", ["--json", image]));
    expect(partitiontable.label).toBe(target === "vm" ? "gpt" : "dos");
    expect(partitiontable.partitions.map(({ start }: { start: number }) => start * 512)).toEqual([
      partitions.boot.startBytes,
      partitions.rootA.startBytes,
    ]);
  });

  it("has a boot partition that fsck.vfat finds sound and mtools read file by file", async () => {
    const { startBytes, sizeBytes } = partitions.boot;
    const volume = join(made.folder, "boot.fat");
    const mebibytes = (bytes: number) => String(bytes / 2 ** 20);
    tool("dd", [
      ...[`if=${image}`, `of=${volume}`, "bs=1M", `skip=${mebibytes(startBytes)}`],
      ...[`count=${mebibytes(sizeBytes)}`, "conv=sparse", "status=none"],
    ]);
    expect(tool("fsck.vfat", ["-n", "-v", volume])).not.toMatch(
      /differ|error|dirty|free cluster summary wrong/i,
    );
    const files = [...(await reading(partitions.boot, readFat))].filter(([path]) => !path.endsWith("/"));
    const listed = tool("mdir", ["-/", "-b", "-i", volume, "::/"])
      .split("\n")
      .filter((path) => path !== "" && !path.endsWith("/"))
      .map((path) => path.replace("::/", ""));
    expect(listed.sort()).toEqual(files.map(([path]) => path).sort());
    expect(listed).toContain("relay/relay.toml");
    const copies = join(made.folder, "copies");
    await mkdir(copies);
    tool("mcopy", ["-s", "-n", "-i", volume, "::/*", copies]);
    for (const [path, content] of files)
      expect(readFileSync(join(copies, path)).equals(content), path).toBe(true);
    for (const [path, content] of made.relay)
      expect(readFileSync(join(copies, "relay", path)).equals(content), path).toBe(true);
    await rm(volume);
  });

  it("has a root file system that unsquashfs lists and unpacks as it was written", async () => {
    const offset = ["-o", String(partitions.rootA.startBytes)];
    const facts = tool("unsquashfs", ["-s", ...offset, image]);
    expect(facts).toContain("Found a valid SQUASHFS 4:0 superblock");
    expect(facts).toContain("Compression zstd");
    const { entries } = await reading(partitions.rootA, (read) => readSquashfs(read));
    const listed = tool("unsquashfs", ["-d", "", "-l", ...offset, image])
      .split("\n")
      .filter((line) => line.startsWith("/") || line === "");
    expect(new Set(listed.map((path) => path.slice(1)))).toEqual(new Set(entries.keys()));
    // Contents by one stream of all, in the order asked for, rather than by unpacking, which needs root for owners.
    const names = ["usr/lib/homing/node", "usr/sbin/postfix", "usr/lib/systemd/systemd", "etc/passwd"];
    for (const name of names) {
      const content = execFileSync("unsquashfs", ["-cat", ...offset, image, name], {
        env: environment,
        maxBuffer: 256 << 20,
      });
      expect(createHash("sha256").update(content).digest("hex"), name).toBe(entries.get(name)!.sha256);
    }
  });

  it("has an initramfs that cpio lists", () => {
    const archive = zstdDecompressSync(made.image.rootfs.boot.initramfs);
    const listed = tool("cpio", ["-t", "--quiet"], archive).split("\n").filter(Boolean);
    const order = tool("cpio", ["-i", "--quiet", "--to-stdout", "modules/order"], archive)
      .split("\n")
      .filter(Boolean);
    expect(order.length).toBeGreaterThan(20);
    expect(listed.filter((path) => path.endsWith(".ko")).sort()).toEqual(
      order.map((name) => `modules/${name}`).sort(),
    );
    expect(listed).toEqual(expect.arrayContaining(["init", "bin/busybox", "dev/console"]));
    expect(tool("cpio", ["-i", "--quiet", "--to-stdout", "init"], archive)).toMatch(/^#!\/bin\/busybox sh\n/);
  });
});
