/** Tests of the lock file: the project's own, and how broken ones are refused. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { archiveKeys, pinnedKeys } from "../../../image/packages/keys.ts";
import { type LockedPackage, lockFile, lockText, readLock } from "../../../image/packages/lock.ts";
import { changeText, lockChanges, lockTotal, totalText } from "../../../image/packages/lock-changes.ts";
import { packagesFor } from "../../../image/packages/selection.ts";

describe("the project's lock file", () => {
  const lock = readLock();

  it("names no mirror", () => {
    const text = readFileSync(lockFile, "utf8");
    expect(text).not.toMatch(/https?:|\/\/|\b(deb|ftp|security)\.debian\.org/);
  });

  it("is written exactly as the program writes it", () => {
    expect(readFileSync(lockFile, "utf8")).toBe(lockText(lock));
  });

  it.each(["amd64", "arm64"] as const)(
    "holds every selected package for %s, each once, sorted",
    (architecture) => {
      const locked = lock.architectures[architecture];
      const names = locked.map(({ name }) => name);
      expect(names).toEqual([...new Set(names)].sort());
      for (const { name, use } of packagesFor(architecture).packages) {
        expect(
          locked.find((one) => one.name === name),
          name,
        ).toMatchObject({ use: use ?? "rootfs" });
      }
    },
  );

  it.each(["amd64", "arm64"] as const)(
    "brings no Perl and nothing that was left out for %s",
    (architecture) => {
      const { leftOut } = packagesFor(architecture);
      for (const { name } of lock.architectures[architecture]) {
        expect(name).not.toMatch(/^(lib)?perl/);
        expect(Object.keys(leftOut)).not.toContain(name);
      }
    },
  );

  it("has the backports kernel for the Raspberry Pi", () => {
    const { version } = lock.architectures.arm64.find(({ name }) => name === "linux-image-arm64")!;
    expect(version).toMatch(/~bpo13\+/);
  });
});

describe("readLock", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "homing-lock-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const good: LockedPackage = {
    ...{ name: "aa", version: "1", archive: "debian", path: "pool/main/a/a_1_all.deb", size: 1 },
    ...{ sha256: "0".repeat(64), use: "rootfs" },
  };
  const write = (content: unknown) => {
    const file = join(folder, "lock.json");
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
    return file;
  };
  const lockOf = (one: object) => ({
    ...{ generated: 1, releases: [], architectures: { amd64: [one], arm64: [] } },
  });

  it("reads what lockText writes", () => {
    const lock = { ...lockOf(good), releases: [{ archive: "debian", suite: "trixie", date: 1 }] } as const;
    const whole = { ...lock, architectures: { amd64: [good], arm64: [good, good] } };
    expect(readLock(write(lockText(whole)))).toEqual(whole);
  });

  it.each([
    ["a missing file", () => join(folder, "missing.json"), /missing\.json cannot be read/],
    ["no JSON", () => write("{"), /cannot be read/],
    ["a path out of the archive", () => write(lockOf({ ...good, path: "pool/../../x.deb" })), /path/],
    ["a whole URL as path", () => write(lockOf({ ...good, path: "http://x/pool/a.deb" })), /path/],
    ["a short hash", () => write(lockOf({ ...good, sha256: "00" })), /sha256/],
    ["an unknown use", () => write(lockOf({ ...good, use: "home" })), /use/],
    ["an unknown field", () => write(lockOf({ ...good, mirror: "x" })), /mirror/],
  ])("refuses %s and says what to run", (_what, file, message) => {
    expect(() => readLock(file())).toThrow(message);
    expect(() => readLock(file())).toThrow(/\.\/homing lock/);
  });

  it("shows what a renewal changes: versions, sizes and sums", () => {
    const before = {
      generated: 1,
      releases: [],
      architectures: { amd64: [good], arm64: [good, { ...good, name: "bb", size: 2_000_000 }] },
    };
    const after = {
      ...before,
      architectures: {
        amd64: [{ ...good, version: "2", size: 1234 }],
        arm64: [
          { ...good, use: "boot" as const },
          { ...good, name: "cc", size: 500 },
        ],
      },
    };
    expect(lockChanges(before, after).map(changeText)).toEqual([
      "amd64  aa  1 → 2  +1.2 kB",
      "arm64  aa  other file or use: 1  ±0 kB",
      "arm64  bb  removed: 1  −2.0 MB",
      "arm64  cc  added: 1  +0.5 kB",
    ]);
    expect([lockTotal("amd64", before, after), lockTotal("arm64", before, after)].map(totalText)).toEqual([
      "amd64: 1 packages, 0.0 MB (+1.2 kB): 1 renewed",
      "arm64: 2 packages, 0.0 MB (−2.0 MB): 1 added, 1 removed, 1 other file or use",
    ]);
    expect(lockChanges(after, after)).toEqual([]);
    expect(totalText(lockTotal("amd64", after, after))).toBe("amd64: 1 packages, 0.0 MB (±0 kB): no change");
    expect(lockChanges(undefined, after)).toHaveLength(3);
    expect(totalText(lockTotal("arm64", undefined, after))).toBe("arm64: 2 packages, 0.0 MB: 2 added");
  });
});

describe("the pinned archive keys", () => {
  it("are those of Debian 13, one archive's never valid for the other", async () => {
    const fingerprints = async (archive: "debian" | "security") =>
      (await archiveKeys(archive)).map((key) => key.getFingerprint());
    expect(await fingerprints("debian")).toEqual([
      "04b54c3cdca79751b16bc6b5225629df75b188bd",
      "41587f7db8c774bccf131416762f67a0b2c39de4",
    ]);
    expect(await fingerprints("security")).toEqual(["5e04a1e3223a19a20706e20f9904613d4cce68c6"]);
    expect(pinnedKeys).toHaveLength(3);
  });
});
