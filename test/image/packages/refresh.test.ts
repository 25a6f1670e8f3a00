/**
 * Tests of making a new lock from a mirror: what a good one gives, and that a bad one (broken, out of date,
 * hostile) is refused with a text that says why.
 */
import type { PrivateKey, PublicKey } from "openpgp";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type PackageLock, readLock } from "../../../image/packages/lock.ts";
import { refreshLock } from "../../../image/packages/refresh.ts";
import { readRelease } from "../../../image/packages/release.ts";
import { type PackageSelection, suites } from "../../../image/packages/selection.ts";
import {
  hasXz,
  packageStanza,
  publishSuite,
  startMirror,
  type TestMirror,
  type TestSuite,
  testSigningKey,
} from "../../support/mirror.ts";

const now = Math.floor(Date.now() / 1000);
const select = (): PackageSelection => ({
  packages: [
    { name: "a", reason: "test" },
    { name: "kernel", reason: "test", backports: true },
    { name: "firmware", reason: "test", use: "boot" },
  ],
  leftOut: {},
  preferred: {},
});

let debianKey: { privateKey: PrivateKey; publicKey: PublicKey };
let strangerKey: typeof debianKey;
let mirror: TestMirror;

beforeAll(async () => {
  [debianKey, strangerKey] = await Promise.all([testSigningKey(), testSigningKey()]);
});
beforeEach(async () => {
  mirror = await startMirror();
});
afterEach(() => mirror.close());

/** Publishes all four suites; `changes` alters one of them. Returns the path of that one's InRelease. */
async function publish(codename = "trixie", changes: Partial<TestSuite> = {}): Promise<string> {
  const both = (component: string, text: string) => ({
    [`${component}/amd64`]: text,
    [`${component}/arm64`]: text,
  });
  const good: TestSuite[] = [
    {
      codename: "trixie",
      date: now - 5_000_000,
      packages: {
        ...both("main", packageStanza("a", { Depends: "b" }) + packageStanza("b")),
        ...both("non-free-firmware", packageStanza("firmware")),
      },
      key: debianKey.privateKey,
    },
    { codename: "trixie-updates", date: now - 900, validUntil: now + 600_000, key: debianKey.privateKey },
    {
      codename: "trixie-security",
      date: now - 1000,
      validUntil: now + 600_000,
      packages: both("main", packageStanza("b", { Version: "1.0-1+deb13u1" })),
      key: debianKey.privateKey,
    },
    {
      codename: "trixie-backports",
      date: now - 1100,
      validUntil: now + 600_000,
      packages: both("main", packageStanza("kernel", { Version: "7" })),
      key: debianKey.privateKey,
    },
  ];
  let path = "";
  for (const suite of good) {
    const changed = suite.codename === codename;
    const published = await publishSuite(mirror, changed ? { ...suite, ...changes } : suite);
    if (changed) path = published;
  }
  return path;
}

function refresh(previous?: PackageLock) {
  const mirrors = { debian: mirror.url, security: mirror.url };
  const network = { wait: async () => {} };
  return refreshLock({ mirrors, previous, now, keys: [debianKey.publicKey], select, network });
}

describe.skipIf(!hasXz)("refreshLock (skipped without the xz program)", () => {
  it("locks the newest packages of all suites for both architectures, dated as the newest index", async () => {
    await publish();
    const lock = await refresh();
    expect(lock.generated).toBe(now - 900);
    expect(lock.releases.map(({ suite }) => suite)).toEqual(suites.map(({ codename }) => codename));
    expect(
      lock.architectures.amd64.map(({ name, version, archive, use }) => [name, version, archive, use]),
    ).toEqual([
      ["a", "1.0-1", "debian", "rootfs"],
      ["b", "1.0-1+deb13u1", "security", "rootfs"],
      ["firmware", "1.0-1", "debian", "boot"],
      ["kernel", "7", "debian", "rootfs"],
    ]);
    expect(lock.architectures.arm64).toEqual(lock.architectures.amd64);
    expect(JSON.stringify(lock)).not.toContain("127.0.0.1");
  });

  it("copes with a mirror that has no files by their hashes", async () => {
    await publish("trixie", { byHash: false });
    expect((await refresh()).architectures.amd64).toHaveLength(4);
  });

  it("tries again when the connection breaks off", async () => {
    const path = await publish();
    mirror.misbehave.set(path, { how: "break off", times: 2 });
    expect((await refresh()).architectures.amd64).toHaveLength(4);
    expect(mirror.requests.filter((one) => one === path)).toHaveLength(3);
  });

  it("gives up when the connection always breaks off, saying where", async () => {
    const path = await publish();
    mirror.misbehave.set(path, { how: "break off", times: 100 });
    await expect(refresh()).rejects.toThrow(/dists\/trixie\/InRelease: the connection broke after \d+ bytes/);
  });

  describe("with a mirror that nobody but the host's apt names", () => {
    const from = "the mirror named in /etc/apt/sources.list";
    let host: TestMirror;
    beforeEach(async () => {
      host = await startMirror();
      await publish();
    });
    afterEach(() => host.close());

    function refreshFromHost(further = mirror.url) {
      const mirrors = {
        ...{ debian: host.url, security: mirror.url, from: { debian: from, security: "another" } },
        further: { debian: further },
      };
      const network = { wait: async () => {} };
      return refreshLock({ mirrors, previous: undefined, now, keys: [debianKey.publicKey], select, network });
    }

    it("takes from the default one what that lacks: the suite", async () => {
      expect((await refreshFromHost()).architectures.amd64).toHaveLength(4);
      expect(host.requests).toContain("/dists/trixie/InRelease");
    });

    it("takes from the default one what that lacks: an index", async () => {
      for (const [path, content] of mirror.files) {
        if (path.endsWith("/InRelease")) host.files.set(path, content);
      }
      expect((await refreshFromHost()).architectures.amd64).toHaveLength(4);
      expect(host.requests.some((path) => path.endsWith("/Packages.xz"))).toBe(true);
    });

    it("takes from the default one what somebody else signed there", async () => {
      const stranger = { codename: "trixie", date: now, key: strangerKey.privateKey };
      await publishSuite(host, stranger);
      expect((await refreshFromHost()).architectures.amd64).toHaveLength(4);
    });

    it("names both and where they come from when neither has it", async () => {
      const failure = (await refreshFromHost(`${mirror.url}/none`).catch((error: Error) => error)) as Error;
      expect(failure.name).toBe("ReleaseError");
      const [one, two] = [host.url, `${mirror.url}/none`];
      expect(failure.message).toMatch(
        new RegExp(
          `^the Debian mirror cannot be used: ${one}/dists/\\S+ answered 404; .*\n\\(${one} is ${from}\\.\\)\n` +
            `the Debian mirror cannot be used: ${two}/dists/\\S+ answered 404; .*\n` +
            `\\(${two} is Homing's default mirror\\.\\)$`,
        ),
      );
    });
  });

  it("shows no password of a mirror", async () => {
    const withLogin = (url: string) => url.replace("http://", "http://bob:s3cret@");
    const attempt = async (url: string) => {
      const mirrors = {
        ...{ debian: withLogin(url), security: withLogin(url) },
        from: { debian: "the mirror given by --mirror", security: "another" },
      };
      const options = { mirrors, previous: undefined, now, keys: [debianKey.publicKey], select };
      const failure = await refreshLock({ ...options, network: { wait: async () => {} } }).catch(
        (error: unknown) => error,
      );
      const { name, message } = failure as Error;
      expect([name, message]).toEqual(["ReleaseError", expect.not.stringMatching(/s3cret|bob/)]);
      expect(message).toContain(url);
    };
    await attempt(mirror.url); // 404
    const path = await publish("trixie", { key: strangerKey.privateKey });
    await attempt(mirror.url);
    await publish("trixie", { codename: "sid" });
    mirror.files.set(path, mirror.files.get("/dists/sid/InRelease")!);
    await attempt(mirror.url);
    await publish("trixie", { validUntil: 1 });
    await attempt(mirror.url);
    await publish();
    for (const one of [...mirror.files.keys()].filter((name) => name.includes("by-hash"))) {
      mirror.files.set(one, Buffer.alloc(mirror.files.get(one)!.length));
    }
    await attempt(mirror.url);
  });

  it("refuses an index signed by somebody else", async () => {
    await publish("trixie-security", { key: strangerKey.privateKey });
    await expect(refresh()).rejects.toThrow(
      /dists\/trixie-security\/InRelease is not signed by a pinned Debian archive key; choose another mirror/,
    );
    await expect(refresh()).rejects.toHaveProperty("name", "ReleaseError");
  });

  it("refuses an index that was changed after it was signed", async () => {
    const path = await publish();
    const text = mirror.files.get(path)!.toString();
    mirror.files.set(path, Buffer.from(text.replace("Origin: Debian", "Origin: Debiam")));
    await expect(refresh()).rejects.toThrow(/not signed by a pinned/);
  });

  it("reads nothing but what is signed", async () => {
    const path = await publish();
    const text = mirror.files.get(path)!.toString();
    mirror.files.set(path, Buffer.from(`Codename: evil\n\n${text}\nCodename: evil\n`));
    expect((await refresh()).releases[0]).toMatchObject({ suite: "trixie", date: now - 5_000_000 });
    mirror.files.set(path, Buffer.from(text.replace("\n\n", "\nCodename: evil\n\n")));
    await expect(refresh()).rejects.toThrow(/not signed by a pinned/);
  });

  it("refuses an unsigned index", async () => {
    const path = await publish();
    mirror.files.set(path, Buffer.from(`Codename: trixie\nDate: ${new Date().toUTCString()}\n`));
    await expect(refresh()).rejects.toThrow(/not signed by a pinned/);
  });

  it("refuses an expired index", async () => {
    await publish("trixie-updates", { validUntil: now - 60 });
    await expect(refresh()).rejects.toThrow(
      /trixie-updates\/InRelease expired on .*: the mirror is out of date; choose another one with --mirror/,
    );
  });

  it("refuses an index from the future and points at the clock", async () => {
    await publish("trixie", { date: now + 200_000 });
    await expect(refresh()).rejects.toThrow(/in the future: set this computer's clock/);
  });

  it.each([
    ["trixie", "--mirror"],
    ["trixie-security", "DEBIAN_SECURITY_MIRROR"],
  ])("refuses to go back to an older genuine index of %s", async (codename, mend) => {
    await publish();
    const locked = await refresh();
    await publish(codename, { date: now - 6_000_000 });
    await expect(refresh(locked)).rejects.toThrow(
      new RegExp(
        `/dists/${codename}/InRelease is dated .*: this mirror is older than the lock file, whose packages are ` +
          `of .*; choose another mirror with ${mend}$`,
      ),
    );
    await expect(refresh(locked)).rejects.toHaveProperty("name", "ReleaseError");
  });

  it("takes the same indexes again, and newer ones", async () => {
    await publish();
    const locked = await refresh();
    expect(await refresh(locked)).toEqual(locked);
    await publish("trixie-security", { date: now - 10 });
    expect((await refresh(locked)).generated).toBe(now - 10);
  });

  it("refuses another suite's genuine index", async () => {
    await publish();
    mirror.files.set("/dists/trixie-security/InRelease", mirror.files.get("/dists/trixie/InRelease")!);
    await expect(refresh()).rejects.toThrow(/is the index of trixie, not of trixie-security/);
  });

  it("refuses a list of packages other than the signed one", async () => {
    await publish();
    const path = [...mirror.files.keys()].find((one) => one.startsWith("/dists/trixie/main/binary-amd64/"))!;
    const list = Buffer.from(mirror.files.get(path)!);
    list[20]! ^= 1;
    mirror.files.set(path, list);
    await expect(refresh()).rejects.toThrow(/Packages\.xz is not the file that InRelease tells of/);
  });

  it("refuses a list of packages longer than the signed one before reading on", async () => {
    await publish();
    const path = [...mirror.files.keys()].find((one) => one.startsWith("/dists/trixie/main/binary-amd64/"))!;
    mirror.files.set(path, Buffer.concat([mirror.files.get(path)!, Buffer.alloc(1000)]));
    await expect(refresh()).rejects.toThrow(/longer than the expected \d+ bytes/);
  });

  it("names the mirror when there is none", async () => {
    await expect(refresh()).rejects.toThrow(
      /the Debian mirror cannot be used: .*InRelease answered 404; choose another one with --mirror/,
    );
  });

  it("does not take an index signed by any other key than the real Debian ones by default", async () => {
    await publish();
    const mirrors = { debian: mirror.url, security: mirror.url };
    await expect(refreshLock({ mirrors, previous: undefined, now, select })).rejects.toThrow(
      /not signed by a pinned/,
    );
  });
});

it("accepts an index without an end of validity, as stable releases have none", () => {
  const stanza = new Map([
    ["codename", "trixie"],
    ["date", "Sat, 12 Sep 2026 07:55:41 UTC"],
    ["sha256", `${"0".repeat(64)}  123 main/binary-amd64/Packages.xz`],
  ]);
  const release = readRelease(stanza, suites[0]!, { now: 1_800_000_000, lockedDate: undefined }, "test");
  expect(release.date).toBe(1_789_199_741);
  expect(release.files.get("main/binary-amd64/Packages.xz")).toEqual({ size: 123, sha256: "0".repeat(64) });
});

it("keeps the project's own lock dated by the newest of its indexes", () => {
  const { generated, releases } = readLock();
  expect(generated).toBe(Math.max(...releases.map(({ date }) => date)));
});
