/**
 * Random file trees for the property tests of the writers: odd names, modes and owners, sizes around every border of
 * the formats, holes, hard links, devices. fast-check shrinks a failing one to the least that fails.
 */
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { Tree, TreeEntry } from "../../../image/rootfs/tree.ts";

/** 256 KiB is the block of our squashfs, 128 KiB the place at which node:zlib ends a frame. */
const SIZES = [0, 1, 511, 512, 513, 8192, 131_071, 131_072, 131_073, 262_143, 262_144, 262_145, 600_000];
/** Linux NAME_MAX, in bytes. */
const NAME_BYTES_MAX = 255;
/** Names per level; a few levels of long names stay below Linux PATH_MAX with room for the test's folder. */
const DEPTH_MAX = 10;

/** Bytes that do not compress, the same in every run. */
export function noise(seed: string, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let length = 0, counter = 0; length < size; length += 64) {
    parts.push(createHash("sha512").update(`${seed}${counter++}`).digest());
  }
  return Buffer.concat(parts).subarray(0, size);
}

const name = fc
  .oneof(
    { weight: 6, arbitrary: fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 }) },
    { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 60 }) },
    { weight: 1, arbitrary: fc.constantFrom("n".repeat(255), "ü".repeat(127), ".hidden", "...", "-rf", " ") },
  )
  .map((text) => text.replaceAll(/[/\0]/g, "_").toWellFormed())
  .filter((text) => text !== "." && text !== ".." && Buffer.byteLength(text) <= NAME_BYTES_MAX);

const content = fc
  .record({
    size: fc.oneof(fc.constantFrom(...SIZES), fc.nat(3000)),
    kind: fc.constantFrom("noise", "text", "zeros", "holes"),
    seed: fc.nat(3), // few, so that equal contents occur
  })
  .map(({ size, kind, seed }): Buffer => {
    if (kind === "noise") return noise(`${seed}`, size);
    if (kind === "text") return Buffer.alloc(size, `text ${seed}\n`);
    const bytes = Buffer.alloc(size);
    if (kind === "holes" && size > 0) bytes[(size * (seed + 1)) >> 3] = seed + 1;
    return bytes;
  });

const attributes = fc.record({
  mode: fc.oneof(fc.constantFrom(0, 0o644, 0o755, 0o7777), fc.nat(0o7777)),
  uid: fc.oneof(fc.nat(1000), fc.constantFrom(0, 65_534, 4_000_000_000)),
  gid: fc.oneof(fc.nat(1000), fc.constantFrom(0, 65_534, 4_000_000_000)),
});

const leaf: fc.Arbitrary<TreeEntry> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ attributes, content }).map(({ attributes, content }) => ({
      ...attributes,
      type: "file" as const,
      content,
    })),
  },
  { weight: 2, arbitrary: attributes.map((one) => ({ ...one, type: "directory" as const })) },
  {
    weight: 1,
    arbitrary: fc
      .record({ attributes, target: fc.oneof(name, fc.constant("t/".repeat(1000))) })
      .map(({ attributes, target }) => ({ ...attributes, mode: 0o777, type: "symlink" as const, target })),
  },
  { weight: 1, arbitrary: attributes.map((one) => ({ ...one, type: "fifo" as const })) },
  {
    weight: 1,
    arbitrary: fc
      .record({
        attributes,
        type: fc.constantFrom("block" as const, "character" as const),
        major: fc.nat(0xfff),
        minor: fc.oneof(fc.nat(255), fc.nat(0xf_ffff)),
      })
      .map(({ attributes, ...device }) => ({ ...attributes, ...device })),
  },
);

/** Up to `maxEntries` entries, put into folders that came before them; then names for files that are there. */
export function randomTree(maxEntries: number): fc.Arbitrary<Tree> {
  const placed = fc.record({ name, leaf, parent: fc.nat() });
  const linked = fc.record({ name, file: fc.nat(), parent: fc.nat() });
  return fc
    .record({
      placed: fc.array(placed, { maxLength: maxEntries }),
      linked: fc.array(linked, { maxLength: 5 }),
    })
    .map(({ placed, linked }) => {
      const tree: Tree = new Map([["", { type: "directory", mode: 0o755, uid: 0, gid: 0 }]]);
      const folders = [""];
      const files: string[] = [];
      const place = (parent: number, name: string): string | undefined => {
        const folder = folders[parent % folders.length]!;
        const path = folder === "" ? name : `${folder}/${name}`;
        return tree.has(path) ? undefined : path;
      };
      for (const { name, leaf, parent } of placed) {
        const path = place(parent, name);
        if (path === undefined) continue;
        tree.set(path, leaf);
        if (leaf.type === "directory" && path.split("/").length < DEPTH_MAX) folders.push(path);
        if (leaf.type === "file") files.push(path);
      }
      for (const { name, file, parent } of linked) {
        const path = place(parent, name);
        const target = files[file % files.length];
        if (path === undefined || target === undefined) continue;
        tree.set(path, { type: "hardlink", mode: 0, uid: 0, gid: 0, target });
      }
      return tree;
    });
}
