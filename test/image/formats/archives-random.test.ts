/**
 * The archive formats on random trees: GNU cpio unpacks what the cpio writer packed, and what it unpacked goes through
 * GNU tar, xz and dpkg-deb to the readers, which must give the tree back.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { buildCpio } from "../../../image/formats/cpio.ts";
import { readTar, type TarEntry } from "../../../image/formats/tar.ts";
import { decompressXz } from "../../../image/formats/xz.ts";
import { readDeb } from "../../../image/packages/deb.ts";
import { setFile, type Tree } from "../../../image/rootfs/tree.ts";
import { expectation, inventory } from "./inventory.ts";
import { noise, randomTree } from "./random-tree.ts";

const TIME = 1_790_000_000;
/** Each takes a tenth of a second or two: two to four tools are started for every tree. */
const RANDOM_TREES = 25;
const ENTRIES_MAX = 30;
const RANDOM_STREAMS = 40;
const MANY_FILES = 100_000;
const MAX_OUTPUT = 1 << 28;
/** Of st_mode (inode(7)). */
const [LINK, FOLDER] = [0o120000, 0o040000];

const isRoot = process.getuid?.() === 0;
const has = (program: string) => spawnSync(program, ["--version"]).error === undefined;
const canUnpack = isRoot && has("cpio");

// Some seconds each; a loaded machine takes many times as long.
vi.setConfig({ testTimeout: 240_000 });

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-archives-random-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

/** Unpacks the tree by GNU cpio and lets `look` see the folder. */
async function unpacked(tree: Tree, look: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(scratch, "tree-"));
  try {
    const input = Buffer.concat(buildCpio(tree, { time: TIME }));
    execFileSync("cpio", ["-idm", "--quiet", "--no-absolute-filenames"], {
      input,
      cwd: folder,
      stdio: "pipe",
    });
    await look(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * The root is the folder cpio was started in. Times of files alone are held to: cpio sets none of links, and makes
 * hard links after it has set that of their folder.
 */
const comparison = (found: [string, unknown][]) =>
  found.flatMap(([path, what]) => {
    if (path === "") return [];
    const { type } = what as { type?: number };
    return [[path, type === LINK || type === FOLDER ? { ...(what as object), time: TIME } : what]];
  });

/** What the reader must give of a tree, times and names of owners aside; names of one file are put together. */
function expectedEntries(tree: Tree): Map<string, object> {
  const expected = new Map<string, object>();
  for (const [path, listed] of tree) {
    const entry = listed.type === "hardlink" ? tree.get(listed.target)! : listed;
    if (path !== "") expected.set(path, comparable(entry));
  }
  return expected;
}

function foundEntries(entries: readonly TarEntry[]): Map<string, object> {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const found = new Map<string, object>();
  for (const entry of entries) {
    if (entry.path === "") continue;
    const original = entry.type === "hardlink" ? byPath.get(entry.target)! : entry;
    expect(entry.time).toBe(TIME);
    found.set(entry.path, comparable(original));
  }
  return found;
}

type Comparable = Readonly<{ type: string; mode: number; uid: number; gid: number }> & object;
function comparable(entry: Comparable): object {
  const { type, mode, uid, gid } = entry;
  return {
    ...{ type, mode, uid, gid },
    ...(type === "file" && "content" in entry && { content: Buffer.from(entry.content as Uint8Array) }),
    ...(type === "symlink" && "target" in entry && { target: entry.target }),
    ...((type === "block" || type === "character") &&
      "major" in entry &&
      "minor" in entry && { device: [entry.major, entry.minor] }),
  };
}

describe("archives of random trees", () => {
  it.skipIf(!canUnpack)("of the cpio writer are unpacked by GNU cpio (needs cpio and root)", async () => {
    await fc.assert(
      fc.asyncProperty(randomTree(ENTRIES_MAX), async (tree) => {
        await unpacked(tree, async (folder) => {
          expect(comparison(await inventory(folder))).toEqual(comparison(expectation(tree, TIME)));
        });
      }),
      { numRuns: RANDOM_TREES },
    );
  });

  it.skipIf(!canUnpack || !has("tar"))(
    "are read as GNU tar packs them (needs cpio, tar and root)",
    async () => {
      await fc.assert(
        fc.asyncProperty(randomTree(ENTRIES_MAX), fc.constantFrom("gnu", "pax"), async (tree, format) => {
          await unpacked(tree, async (folder) => {
            const archive = execFileSync(
              "tar",
              ["-C", folder, `--format=${format}`, "--numeric-owner", `--mtime=@${TIME}`, "-c", "."],
              {
                maxBuffer: MAX_OUTPUT,
              },
            );
            expect(foundEntries(readTar(archive))).toEqual(expectedEntries(tree));
          });
        }),
        { numRuns: RANDOM_TREES },
      );
    },
  );

  it.skipIf(!canUnpack || !has("dpkg-deb"))(
    "are read as dpkg-deb packs them (needs cpio, dpkg-deb and root)",
    async () => {
      const compressions = fc.constantFrom("xz", "gzip", "zstd", "none");
      // dpkg-deb packs no such names.
      const trees = randomTree(ENTRIES_MAX).filter((tree) =>
        [...tree.keys()].every((path) => !path.includes("\n")),
      );
      await fc.assert(
        fc.asyncProperty(trees, compressions, async (tree, compression) => {
          await unpacked(tree, async (folder) => {
            mkdirSync(join(folder, "DEBIAN"), { mode: 0o755 });
            const control = "Package: pigeon\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\n";
            writeFileSync(join(folder, "DEBIAN/control"), `${control}Description: a bird\n`, { mode: 0o644 });
            const path = join(scratch, "random.deb");
            execFileSync("dpkg-deb", [`-Z${compression}`, "-z1", "--build", folder, path], {
              stdio: "pipe",
              env: { ...process.env, SOURCE_DATE_EPOCH: String(TIME) },
            });
            const { control: fields, entries } = await readDeb(await readFile(path));
            expect(fields.get("package")).toBe("pigeon");
            expect(foundEntries(entries)).toEqual(expectedEntries(tree));
          });
        }),
        { numRuns: RANDOM_TREES },
      );
    },
  );

  it.skipIf(!has("cpio"))("of the cpio writer may have 100,000 files (needs cpio)", () => {
    const tree: Tree = new Map();
    for (let i = 0; i < MANY_FILES; i++) setFile(tree, `many/${i}`, `${i}`);
    const input = Buffer.concat(buildCpio(tree, { time: TIME }));
    const names = execFileSync("cpio", ["-t", "--quiet"], { input, encoding: "utf8", maxBuffer: MAX_OUTPUT });
    expect(names.trim().split("\n").sort()).toEqual(["many", ...tree.keys()].sort());
  });
});

describe("streams of the xz program", () => {
  it.skipIf(!has("xz"))("are read whatever is in them and however they were made (needs xz)", async () => {
    const content = fc
      .array(fc.record({ size: fc.nat(60_000), seed: fc.nat(9), repeats: fc.boolean() }), { maxLength: 5 })
      .map((parts) =>
        Buffer.concat(
          parts.map(({ size, seed, repeats }) =>
            repeats ? Buffer.alloc(size, `x${seed}`) : noise(`${seed}`, size),
          ),
        ),
      );
    const options = fc.record({
      level: fc.constantFrom("-0", "-6", "-9e"),
      check: fc.constantFrom("crc32", "crc64", "none"),
      blockSize: fc.constantFrom("0", "4096", "65536"),
    });
    await fc.assert(
      fc.asyncProperty(content, options, async (content, { level, check, blockSize }) => {
        const compressed = execFileSync(
          "xz",
          ["-c", level, `--check=${check}`, `--block-size=${blockSize}`],
          {
            input: content,
            maxBuffer: MAX_OUTPUT,
          },
        );
        expect(content.equals(await decompressXz(compressed))).toBe(true);
      }),
      { numRuns: RANDOM_STREAMS },
    );
  });
});
