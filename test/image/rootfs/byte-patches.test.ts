/**
 * The change of Dovecot's delay, on the very libraries that Debian's packages bring and on such as a newer build could
 * bring. Takes the locked packages from the cache; where they are not, these are skipped.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { defaultCacheDirectory } from "../../../image/packages/cache.ts";
import { loadPackage } from "../../../image/packages/deb.ts";
import { readLock } from "../../../image/packages/lock.ts";
import { applyBytePatches, BytePatchError, bytePatches } from "../../../image/rootfs/byte-patches.ts";
import { setFile, type Tree } from "../../../image/rootfs/tree.ts";
import type { Architecture } from "../../../image/spec.ts";

const [{ path: libraryPath, package: packageName, sourceFile }] = bytePatches as [
  (typeof bytePatches)[number],
];

/** What is known of the libraries of dovecot-core 1:2.4.1+dfsg1-6+deb13u7, found by hand. */
const known = {
  // mov edi, 500; lea rsi, "mailbox-watch.c"; call
  amd64: { number: 0x783cf, before: "bff4010000", after: "bf19000000", from: 0x783ca, to: 0x783e0 },
  // adrp x1; add x3; add x1, "mailbox-watch.c"; mov w0, 500; bl
  arm64: { number: 0x6a41c, before: "803e8052", after: "20038052", from: 0x6a40c, to: 0x6a424 },
} as const;
const KNOWN_VERSION = "1:2.4.1+dfsg1-6+deb13u7";

/** Applies the patches to a library of this content. */
function patched(content: Uint8Array, architecture: Architecture): Buffer {
  const tree: Tree = new Map();
  setFile(tree, libraryPath, content, { mode: 0o755 });
  applyBytePatches(tree, architecture);
  const entry = tree.get(libraryPath);
  if (entry?.type !== "file") throw new Error("the library is gone");
  expect(entry.mode).toBe(0o755);
  return Buffer.from(entry.content);
}

/** Offsets of the bytes that differ, and the values there. */
function changes(before: Buffer, after: Buffer): [offset: number, value: number][] {
  expect(after.length).toBe(before.length);
  const found: [number, number][] = [];
  for (let at = 0; at < after.length; at++) if (before[at] !== after[at]) found.push([at, after[at]!]);
  return found;
}

it("stops when the library is not there, or is none", () => {
  expect(() => applyBytePatches(new Map(), "amd64")).toThrow(/dovecot-core no longer brings/);
  expect(() => patched(Buffer.alloc(100), "amd64")).toThrow(BytePatchError);
  expect(() => patched(Buffer.alloc(100), "arm64")).toThrow(/not a program/);
});

describe.each(["amd64", "arm64"] as const)("Debian's library for %s", (architecture) => {
  const locked = readLock().architectures[architecture].find(({ name }) => name === packageName)!;
  const file = join(
    defaultCacheDirectory(),
    "packages",
    `${locked.sha256.slice(0, 16)}-${basename(locked.path)}`,
  );
  const missing = existsSync(file) ? "" : " (needs its package in the cache: build an image first)";
  const isKnown = locked.version === KNOWN_VERSION;
  const { number, before, after, from, to } = known[architecture];
  let library: Buffer;

  beforeAll(async () => {
    if (missing !== "") return;
    const { entries } = await loadPackage(file);
    library = Buffer.from(entries.find(({ path }) => path === libraryPath)!.content);
  });

  /** A copy in which some bytes stand elsewhere as well, or instead. */
  const altered = (...pieces: [offset: number, bytes: Uint8Array][]): Buffer => {
    const copy = Buffer.from(library);
    for (const [offset, bytes] of pieces) copy.set(bytes, offset);
    return copy;
  };
  const AWAY = 0x1000;
  /** The instructions of the call, to be put so many bytes on. */
  const callMoved = (): [offset: number, bytes: Uint8Array] => {
    const call = Buffer.from(library.subarray(from, to));
    if (architecture === "amd64") {
      for (const displacement of [number - from + 8, number - from + 13])
        call.writeInt32LE(call.readInt32LE(displacement) - AWAY, displacement);
    } else {
      // adrp counts pages: one less from one page on; immlo are the bits 29 and 30.
      for (const adrp of [0, 4]) call.writeUInt32LE(pageBefore(call.readUInt32LE(adrp)), adrp);
    }
    return [from + AWAY, call];
  };
  const pageBefore = (word: number): number => {
    const pages = ((((word >>> 5) & 0x7ffff) << 2) | ((word >>> 29) & 3)) - 1;
    return ((word & 0x9f00001f) | ((pages & 3) << 29) | (((pages >>> 2) & 0x7ffff) << 5)) >>> 0;
  };
  const otherNumber = (): [offset: number, bytes: Uint8Array] => [number, Buffer.from(after, "hex")];

  it.skipIf(missing !== "")(`has one instruction changed, and nothing else${missing}`, () => {
    const result = patched(library, architecture);
    const found = changes(library, result);
    expect(found.length).toBeGreaterThan(0);
    expect(found.at(-1)![0] - found[0]![0]).toBeLessThan(5);
    if (!isKnown) return;
    expect(library.toString("hex", number, number + before.length / 2)).toBe(before);
    expect(result).toEqual(altered(otherNumber()));
  });

  // What follows alters a library whose code is known.
  const unknown = missing || (isKnown ? "" : ` (knows the library of version ${KNOWN_VERSION})`);
  it.skipIf(unknown !== "")(`is changed where a newer build has moved the call${unknown}`, () => {
    const moved = altered(callMoved(), otherNumber());
    const result = patched(moved, architecture);
    expect(changes(moved, result).every(([at]) => at >= from + AWAY && at < to + AWAY)).toBe(true);
    const at = number + AWAY;
    expect(result.toString("hex", at, at + after.length / 2)).toBe(after);
  });

  it.skipIf(unknown !== "")(`stops the build when the call is not there, or twice${unknown}`, () => {
    expect(() => patched(altered(otherNumber()), architecture)).toThrow(/cannot be patched: .* it has 0/);
    expect(() => patched(altered(callMoved()), architecture)).toThrow(/cannot be patched: .* it has 2/);
    const name = library.indexOf(`\0${sourceFile}\0`) + 1;
    expect(() => patched(altered([name, Buffer.from("M")]), architecture)).toThrow(
      /the name “mailbox-watch\.c” is not in it/,
    );
  });

  it.skipIf(unknown !== "")(`stops when number and name belong to two calls${unknown}`, () => {
    // A call right behind the number; on arm64, where the name comes first, right before it.
    const between =
      architecture === "amd64"
        ? altered([number, library.subarray(to - 5, to)], [number - 5, library.subarray(number, number + 5)])
        : altered(
            [number - 4, library.subarray(number - 4, number)],
            [number, library.subarray(to - 4, to)],
            [number + 4, library.subarray(number, number + 4)],
          );
    if (architecture === "amd64")
      between.writeInt32LE(between.readInt32LE(number + 1) + (to - 5 - number), number + 1);
    expect(() => patched(between, architecture)).toThrow(/it has 0/);
  });
});
