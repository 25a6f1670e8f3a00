/** The squashfs writer on random and extreme trees, judged by unsquashfs and, where it can be mounted, the kernel. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, open, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { writeSquashfs } from "../../../image/formats/squashfs.ts";
import { setFile, type Tree } from "../../../image/rootfs/tree.ts";
import { expectation, inventory } from "./inventory.ts";
import { randomTree } from "./random-tree.ts";

const TIME = 1_790_000_000;
/** Each takes a tenth of a second: the tool is started for every tree. */
const RANDOM_TREES = 40;
const ENTRIES_MAX = 40;
const MANY_FILES = 100_000;

const isRoot = process.getuid?.() === 0;
const hasUnsquashfs = ["/usr/bin/unsquashfs", "/usr/sbin/unsquashfs"].some(existsSync);
const canMount = isRoot && existsSync("/dev/loop-control");

// Some seconds each; a loaded machine takes many times as long.
vi.setConfig({ testTimeout: 240_000 });

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-squashfs-random-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function written(tree: Tree): Promise<string> {
  const image = join(scratch, "image.squashfs");
  await writeSquashfs(tree, image, { time: TIME, level: 1 });
  return image;
}

async function mounted<Result>(image: string, look: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(scratch, "mount-"));
  execFileSync("mount", ["-t", "squashfs", "-o", "loop,ro", image, folder]);
  try {
    return await look(folder);
  } finally {
    execFileSync("umount", [folder]);
  }
}

describe("writeSquashfs on random trees", () => {
  it.skipIf(!hasUnsquashfs || !isRoot)(
    "is unpacked by unsquashfs (needs squashfs-tools and root)",
    async () => {
      await fc.assert(
        fc.asyncProperty(randomTree(ENTRIES_MAX), async (tree) => {
          const image = await written(tree);
          const target = join(scratch, "unpacked");
          execFileSync("unsquashfs", ["-no-progress", "-strict-errors", "-d", target, image], {
            stdio: "pipe",
          });
          try {
            expect(await inventory(target)).toEqual(expectation(tree, TIME));
          } finally {
            await rm(target, { recursive: true, force: true });
          }
        }),
        { numRuns: RANDOM_TREES },
      );
    },
  );

  it.skipIf(!canMount)("is read by the kernel, every byte (needs root and loop devices)", async () => {
    await fc.assert(
      fc.asyncProperty(randomTree(ENTRIES_MAX), async (tree) => {
        expect(await mounted(await written(tree), inventory)).toEqual(expectation(tree, TIME));
      }),
      { numRuns: RANDOM_TREES },
    );
  });
});

describe("writeSquashfs at its limits", () => {
  it.skipIf(!hasUnsquashfs)(
    "lists 100,000 files in one folder and deep folders (needs squashfs-tools)",
    async () => {
      const tree: Tree = new Map();
      for (let i = 0; i < MANY_FILES; i++)
        setFile(tree, `many/${i}`, `${i}`, { mode: i & 0o777, uid: i % 500 });
      const deep = "d/".repeat(1000);
      setFile(tree, `${deep}bottom`, "reached");
      const image = await written(tree);
      const listing = execFileSync("unsquashfs", ["-lln", image], {
        encoding: "utf8",
        maxBuffer: 1 << 28,
        env: { ...process.env, TZ: "UTC" },
      });
      const lines = listing.trimEnd().split("\n");
      const found = new Map(lines.map((line) => [line.slice(line.indexOf("squashfs-root") + 14), line]));
      for (let i = 0; i < MANY_FILES; i++) {
        const [permissions, owner, size, date] = found.get(`many/${i}`)!.split(/\s+/);
        if (
          permissions !== permissionText(i & 0o777) ||
          owner !== `${i % 500}/0` ||
          size !== String(`${i}`.length) ||
          date !== "2026-09-21"
        ) {
          expect.fail(found.get(`many/${i}`));
        }
      }
      expect(found.has(`${deep}bottom`)).toBe(true);
      for (const path of ["many/0", "many/65536", "many/99999"]) {
        expect(execFileSync("unsquashfs", ["-cat", image, path], { encoding: "utf8" })).toBe(path.slice(5));
      }
      if (!canMount) return;
      await mounted(image, async (folder) => {
        expect((await stat(join(folder, "many/77777"))).mode & 0o777).toBe(77_777 & 0o777);
        expect(await readText(join(folder, `${deep}bottom`))).toBe("reached");
      });
    },
  );

  it.skipIf(!canMount)(
    "holds a file of more than 4 GiB, most of it a hole (needs root and loop devices)",
    async () => {
      const size = 2 ** 32 + 300_000;
      // calloc(3) gives pages that take no memory until they are written.
      const content = Buffer.alloc(size);
      content.write("in the middle", 2 ** 31);
      content.write("at the end", size - 10);
      const tree: Tree = new Map();
      setFile(tree, "huge", content);
      const image = await written(tree);
      expect((await stat(image)).size).toBeLessThan(100_000);
      await mounted(image, async (folder) => {
        await using file = await open(join(folder, "huge"));
        expect((await file.stat()).size).toBe(size);
        for (const [place, text] of [
          [2 ** 31, "in the middle"],
          [size - 10, "at the end"],
          [2 ** 32 - 5, "\0".repeat(10)],
        ] as const) {
          const { buffer } = await file.read(Buffer.alloc(text.length), 0, text.length, place);
          expect(buffer.toString()).toBe(text);
        }
      });
    },
  );
});

async function readText(path: string): Promise<string> {
  await using file = await open(path);
  return await file.readFile("utf8");
}

/** As ls(1) shows it: 0o644 → "-rw-r--r--". */
function permissionText(mode: number): string {
  const bits = [...mode.toString(2).padStart(9, "0")];
  return `-${bits.map((bit, index) => (bit === "1" ? "rwx"[index % 3] : "-")).join("")}`;
}
