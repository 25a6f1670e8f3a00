import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  applyBytePatches,
  type BytePatch,
  BytePatchError,
  bytePatches,
} from "../../../image/rootfs/byte-patches.ts";
import { setFile, type Tree } from "../../../image/rootfs/tree.ts";

const before = Buffer.from("0011223344", "hex");
const patch: BytePatch = {
  package: "some-package",
  version: "1",
  path: "usr/lib/some.so",
  sha256: createHash("sha256").update(before).digest("hex"),
  offset: 1,
  before: "1122",
  after: "aabb",
};

function treeWith(content: Uint8Array): Tree {
  const tree: Tree = new Map();
  setFile(tree, patch.path, content, { mode: 0o755 });
  return tree;
}

describe("byte patches", () => {
  it("changes the bytes and nothing else", () => {
    const tree = treeWith(before);
    applyBytePatches(tree, [patch]);
    expect(tree.get(patch.path)).toMatchObject({ mode: 0o755, content: Buffer.from("00aabb3344", "hex") });
    expect(before.toString("hex")).toBe("0011223344");
  });

  it("stops at a file other than the pinned one", () => {
    expect(() => applyBytePatches(treeWith(Buffer.from("0011223345", "hex")), [patch])).toThrow(
      BytePatchError,
    );
    expect(() => applyBytePatches(new Map(), [patch])).toThrow(/no longer brings/);
  });

  it("stops when other bytes stand at the place", () => {
    expect(() => applyBytePatches(treeWith(before), [{ ...patch, offset: 2 }])).toThrow(
      /has 2233 at offset 2/,
    );
  });

  it("has the same patches for both architectures, each of equal length", () => {
    const paths = Object.values(bytePatches).map((patches) => patches.map(({ path }) => path));
    expect(paths[0]).toEqual(paths[1]);
    for (const one of Object.values(bytePatches).flat()) expect(one.before).toHaveLength(one.after.length);
  });
});
