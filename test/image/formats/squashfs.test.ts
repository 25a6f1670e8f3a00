/** The squashfs writer, judged by unsquashfs and by the kernel's own driver reading every byte. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { lstat, mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeSquashfs } from "../../../image/formats/squashfs.ts";
import { dropEmptyLastBlock } from "../../../image/formats/zstd-frame.ts";
import { setDirectory, setFile, setSymlink, type Tree } from "../../../image/rootfs/tree.ts";

import { expectation, inventory } from "./inventory.ts";

const TIME = 1_790_000_000;
const hasUnsquashfs = ["/usr/bin/unsquashfs", "/usr/sbin/unsquashfs"].some(existsSync);
const canMount = process.getuid?.() === 0 && existsSync("/dev/loop-control");

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-squashfs-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** Bytes that do not compress, the same in every run. */
function noise(seed: string, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let length = 0, counter = 0; length < size; length += 64) {
    parts.push(createHash("sha512").update(`${seed}${counter++}`).digest());
  }
  return Buffer.concat(parts).subarray(0, size);
}

/** Text that compresses well but nowhere repeats exactly. */
function prose(seed: string, size: number): Buffer {
  return Buffer.from(noise(seed, Math.ceil(size / 2)).toString("hex")).subarray(0, size);
}

/** Everything the format treats in its own way. */
function variedTree(): Tree {
  const tree: Tree = new Map();
  setDirectory(tree, "", { mode: 0o755 });
  setDirectory(tree, "empty", { mode: 0o1777 });
  setDirectory(tree, "private", { mode: 0o700, uid: 900, gid: 901 });
  setFile(tree, "private/zero-length", "");
  setFile(tree, "one-byte", "x");
  setFile(tree, "setuid", prose("setuid", 70_000), { mode: 0o4755, gid: 4_000_000_000 });
  // Sizes around the 128 KiB at which node:zlib ends a frame and the block size of 256 KiB.
  for (const size of [131_071, 131_072, 131_073, 262_143, 262_144, 262_145, 524_288, 1_000_003]) {
    setFile(tree, `sizes/prose-${size}`, prose(`p${size}`, size));
    setFile(tree, `sizes/noise-${size}`, noise(`n${size}`, size));
  }
  setFile(tree, "duplicate-of-a-block", prose("p524288", 524_288));
  setFile(tree, "duplicate-of-a-fragment", prose("setuid", 70_000));
  const holes = Buffer.alloc(2_000_000);
  holes.write("in the middle", 1_000_000);
  setFile(tree, "sparse/with-data", holes);
  setFile(tree, "sparse/only-zeros", Buffer.alloc(600_000));
  setFile(tree, "links/original", prose("linked", 300_000));
  tree.set("links/second", { type: "hardlink", mode: 0, uid: 0, gid: 0, target: "links/original" });
  tree.set("a-third", { type: "hardlink", mode: 0, uid: 0, gid: 0, target: "links/original" });
  setSymlink(tree, "to-original", "links/original");
  setSymlink(tree, "dangling", "../nowhere/ü");
  tree.set("dev/null", { type: "character", mode: 0o666, uid: 0, gid: 0, major: 1, minor: 3 });
  tree.set("dev/far", { type: "block", mode: 0o660, uid: 0, gid: 6, major: 259, minor: 70_000 });
  tree.set("dev/pipe", { type: "fifo", mode: 0o600, uid: 0, gid: 0 });
  // Names whose UTF-8 order is not their UTF-16 order.
  setFile(tree, "names/\u{1f600}", "beyond the basic plane");
  setFile(tree, "names/\u{ff5e}", "at its end");
  setFile(tree, `names/${"n".repeat(255)}`, "longest");
  // A listing of more than 64 KiB, more than 256 entries under a header, several inode blocks.
  for (let i = 0; i < 3000; i++)
    setFile(tree, `many/${String(i).padStart(4, "0")}-${"x".repeat(20)}`, `${i}`);
  return tree;
}

describe("writeSquashfs", () => {
  it.skipIf(!canMount)("is read back byte for byte by the kernel (needs root and loop devices)", async () => {
    const tree = variedTree();
    const image = join(scratch, "kernel.squashfs");
    const { bytes } = await writeSquashfs(tree, image, { time: TIME, level: 3 });
    expect((await lstat(image)).size).toBe(bytes);
    const mountPoint = await mkdtemp(join(scratch, "mount-"));
    execFileSync("mount", ["-t", "squashfs", "-o", "loop,ro", image, mountPoint]);
    try {
      expect(await inventory(mountPoint)).toEqual(expectation(tree, TIME));
    } finally {
      execFileSync("umount", [mountPoint]);
    }
  });

  it.skipIf(!hasUnsquashfs || !canMount)(
    "is unpacked whole by unsquashfs (needs squashfs-tools and root)",
    async () => {
      const tree = variedTree();
      const image = join(scratch, "unsquash.squashfs");
      const { inodes } = await writeSquashfs(tree, image, { time: TIME, level: 3 });
      const summary = execFileSync("unsquashfs", ["-s", image], { encoding: "utf8" });
      expect(summary).toContain("Compression zstd");
      expect(summary).toContain(`Number of inodes ${inodes}`);
      const target = join(scratch, "unpacked");
      execFileSync("unsquashfs", ["-no-progress", "-strict-errors", "-d", target, image], { stdio: "pipe" });
      // Device 259:70000 comes out the same; unsquashfs restores owners and times as root.
      expect(await inventory(target)).toEqual(expectation(tree, TIME));
    },
  );

  it("gives the same bytes whatever the order of the tree and the number of threads", async () => {
    const first = join(scratch, "first.squashfs");
    const second = join(scratch, "second.squashfs");
    await writeSquashfs(variedTree(), first, { time: TIME, level: 3 });
    const script = `
      import { writeSquashfs } from ${JSON.stringify(new URL("../../../image/formats/squashfs.ts", import.meta.url).href)};
      import { deserialize } from "node:v8";
      const chunks = []; for await (const chunk of process.stdin) chunks.push(chunk);
      await writeSquashfs(deserialize(Buffer.concat(chunks)), process.argv[1], { time: ${TIME}, level: 3 });`;
    const { serialize } = await import("node:v8");
    execFileSync(process.execPath, ["--input-type=module", "-e", script, second], {
      input: serialize(new Map([...variedTree()].reverse())),
      env: { ...process.env, UV_THREADPOOL_SIZE: availableParallelism() > 1 ? "1" : "3" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    expect((await readFile(first)).equals(await readFile(second))).toBe(true);
  });

  it("stores equal contents once and zeros not at all", async () => {
    const tree: Tree = new Map();
    setFile(tree, "a", noise("same", 3_000_000));
    setFile(tree, "b", noise("same", 3_000_000));
    setFile(tree, "zeros", Buffer.alloc(10_000_000));
    const { bytes } = await writeSquashfs(tree, join(scratch, "once.squashfs"), { time: TIME });
    expect(bytes).toBeLessThan(3_010_000);
  });

  it.skipIf(!hasUnsquashfs)("writes a tree without a single file (needs squashfs-tools)", async () => {
    const image = join(scratch, "none.squashfs");
    await writeSquashfs(new Map(), image, { time: TIME });
    expect(execFileSync("unsquashfs", ["-ll", image], { encoding: "utf8" })).toContain(
      "drwxr-xr-x root/root",
    );
  });

  it("names the path it cannot represent", async () => {
    const write = (path: string, change: (tree: Tree) => void) => {
      const tree: Tree = new Map();
      change(tree);
      return expect(writeSquashfs(tree, join(scratch, "bad.squashfs"), { time: TIME })).rejects.toThrow(path);
    };
    await write("/etc/mtab is a hard link to /nowhere", (tree) =>
      tree.set("etc/mtab", { type: "hardlink", mode: 0, uid: 0, gid: 0, target: "nowhere" }),
    );
    await write("/bin/sh lies in something that is not a directory", (tree) => {
      setSymlink(tree, "bin", "usr/bin");
      setFile(tree, "bin/sh", "");
    });
    await write("/etc/..", (tree) => setFile(tree, "etc/..", ""));
    await write("/link: link target of 0 bytes", (tree) => setSymlink(tree, "link", ""));
    await write("/f: owner -1:0", (tree) => setFile(tree, "f", "", { uid: -1 }));
  });

  it("tells how far it is and stops when asked to", async () => {
    const tree = variedTree();
    const seen: [number, number][] = [];
    await writeSquashfs(tree, join(scratch, "progress.squashfs"), {
      time: TIME,
      level: 1,
      onProgress: (done, total) => seen.push([done, total]),
    });
    expect(seen.at(-1)![0]).toBe(seen.at(-1)![1]);
    const controller = new AbortController();
    const stopped = writeSquashfs(tree, join(scratch, "stopped.squashfs"), {
      time: TIME,
      level: 1,
      onProgress: (done) => done > 500_000 && controller.abort(new Error("stopped by the user")),
      signal: controller.signal,
    });
    await expect(stopped).rejects.toThrow("stopped by the user");
  });
});

describe("dropEmptyLastBlock", () => {
  // Magic number, a single-segment descriptor with a one-byte content size, then the blocks.
  const frame = (...blocks: number[]) => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x02, ...blocks]);

  it("marks the block before an empty last one as the last", () => {
    const result = dropEmptyLastBlock(frame(0x10, 0, 0, 0x61, 0x62, 0x01, 0, 0));
    expect([...result.subarray(6)]).toEqual([0x11, 0, 0, 0x61, 0x62]);
  });

  it("leaves a frame alone that ends with content, also after a block of repeated bytes", () => {
    const repeated = frame(0x42, 0x06, 0, 0x61, 0x09, 0, 0, 0x62) /* 200 times "a", then "b" */;
    expect(dropEmptyLastBlock(Buffer.from(repeated)).equals(repeated)).toBe(true);
  });

  it("keeps the only block of an empty frame", () => {
    expect(dropEmptyLastBlock(frame(0x01, 0, 0)).length).toBe(9);
  });

  it("refuses bytes after the frame", () => {
    expect(() => dropEmptyLastBlock(frame(0x09, 0, 0, 0x61, 0xff))).toThrow("bytes after the last block");
  });
});
