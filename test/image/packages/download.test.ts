/** Tests of fetching packages from a mirror that behaves and one that does not. */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchPackages, packagePath } from "../../../image/packages/download.ts";
import { httpGet, type Network } from "../../../image/packages/http.ts";
import type { HttpClient } from "../../../image/packages/http-client.ts";
import type { LockedPackage } from "../../../image/packages/lock.ts";
import { sha256, startMirror, type TestMirror } from "../../support/mirror.ts";

const lockTime = Date.UTC(2026, 10, 19, 2, 12, 54) / 1000;
/** Half a day after the lock's time, as snapshot.debian.org writes times. */
const snapshotTime = "20261119T141254Z";

/** Waits for nothing before it asks again, and remembers how long it should have waited. */
const pauses: number[] = [];
const impatient: Network = {
  wait: async (milliseconds) => void pauses.push(milliseconds),
};

const strict: Network = { ...impatient, silenceMilliseconds: 300 };

let mirror: TestMirror;
let snapshot: TestMirror;
let cache: string;

beforeEach(async () => {
  [mirror, snapshot] = await Promise.all([startMirror(), startMirror()]);
  cache = mkdtempSync(join(tmpdir(), "homing-cache-"));
  pauses.length = 0;
});
afterEach(async () => {
  await Promise.all([mirror.close(), snapshot.close()]);
  rmSync(cache, { recursive: true });
});

/** Makes a package and serves it. */
function offer(
  name: string,
  archive: LockedPackage["archive"] = "debian",
): LockedPackage & { content: Buffer } {
  const content = Buffer.from(`the package ${name} `.repeat(1000));
  const path = `pool/main/${name[0]}/${name}_1_all.deb`;
  mirror.files.set(`/${archive}/${path}`, content);
  return {
    ...{ name, version: "1", archive, path, size: content.length, sha256: sha256(content) },
    ...{ use: "rootfs", content },
  };
}

function fetchAll(
  packages: readonly LockedPackage[],
  more: Partial<Parameters<typeof fetchPackages>[1]> = {},
) {
  return fetchPackages(packages, {
    cache,
    lockTime,
    mirrors: { debian: `${mirror.url}/debian`, security: `${mirror.url}/security` },
    snapshot: snapshot.url,
    network: impatient,
    ...more,
  });
}

const cachedFiles = () => readdirSync(join(cache, "packages"));

describe("fetchPackages", () => {
  it("brings every package from its archive into the cache and counts the bytes", async () => {
    const packages = ["a", "b", "c", "d", "e", "f", "g", "h"].map((name) => offer(name));
    packages.push(offer("s", "security"));
    const events: object[] = [];
    const paths = await fetchAll(packages, { onProgress: (event) => events.push(event) });
    for (const { name, content } of packages)
      expect(readFileSync(paths.get(name)!).equals(content)).toBe(true);
    expect(cachedFiles()).toHaveLength(packages.length);
    const total = packages.reduce((sum, { size }) => sum + size, 0);
    expect(events.at(-1)).toMatchObject({ done: total, total, unit: "bytes" });
  });

  it("asks for nothing that is in the cache", async () => {
    const packages = [offer("a"), offer("b")];
    await fetchAll(packages);
    mirror.requests.length = 0;
    await fetchAll(packages);
    expect(mirror.requests).toEqual([]);
  });

  it("fetches anew what was damaged in the cache", async () => {
    const one = offer("a");
    const path = (await fetchAll([one])).get("a")!;
    writeFileSync(path, one.content.subarray(1));
    await fetchAll([one]);
    expect(readFileSync(path).equals(one.content)).toBe(true);
  });

  it("takes from the archive of old packages what has left the mirror, as of the lock's time", async () => {
    const packages = [offer("a"), offer("s", "security")];
    mirror.files.clear();
    const at = (archive: string) => `/${archive}/${snapshotTime}/pool/main`;
    snapshot.files.set(`${at("debian")}/a/a_1_all.deb`, packages[0]!.content);
    snapshot.files.set(`${at("debian-security")}/s/s_1_all.deb`, packages[1]!.content);
    const paths = await fetchAll(packages);
    expect(readFileSync(paths.get("s")!).equals(packages[1]!.content)).toBe(true);
  });

  it("takes from the archive of old packages what the mirror has otherwise than locked", async () => {
    const one = offer("a");
    const path = "/debian/pool/main/a/a_1_all.deb";
    mirror.files.set(path, Buffer.alloc(one.size, "x"));
    snapshot.files.set(`/debian/${snapshotTime}/pool/main/a/a_1_all.deb`, one.content);
    expect(readFileSync((await fetchAll([one])).get("a")!).equals(one.content)).toBe(true);
  });

  it("names package, places and mend when it is nowhere, and leaves no part of it behind", async () => {
    const packages = [offer("a"), offer("pigeon")];
    mirror.files.set("/debian/pool/main/p/pigeon_1_all.deb", Buffer.alloc(packages[1]!.size, "x"));
    const failure = await fetchAll(packages).catch((error: Error) => error);
    expect(failure).toMatchObject({ name: "DownloadError" });
    const { message } = failure as Error;
    expect(failure).toMatchObject({ gone: true });
    expect(message).toContain("the package pigeon 1 is gone: no place has the locked file any more");
    expect(message).toContain("pigeon_1_all.deb is not the locked file (other size or SHA-256)");
    expect(message).toContain("pigeon_1_all.deb answered 404");
    expect(message).toMatch(/homing build … --refresh .*\.\/homing lock/);
    expect(cachedFiles().some((name) => /pigeon|\.part$/.test(name))).toBe(false);
  });

  it("says what it is about before the mirror has answered", async () => {
    const stages: string[] = [];
    const client = async () => Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" }));
    const asked = fetchAll([offer("a")], {
      network: { ...impatient, client },
      onProgress: ({ stage }: { stage: string }) => stages.push(stage),
    });
    await expect(asked).rejects.toThrow("there is no connection");
    expect(new Set(stages)).toEqual(new Set(["Fetching the Debian packages"]));
  });

  it("stops at once when it is told to, and keeps what has come", async () => {
    const stop = new AbortController();
    const one = offer("a");
    mirror.misbehave.set(pathOf(one), { how: "fall silent", times: 1 });
    const onProgress = ({ done = 0 }) => {
      if (done > 0) stop.abort(new Error("enough"));
    };
    await expect(fetchAll([one], { signal: stop.signal, onProgress })).rejects.toThrow("enough");
    expect(mirror.requests).toHaveLength(1);
    expect(snapshot.requests).toHaveLength(0);
    expect(cachedFiles()).toEqual([expect.stringMatching(/_1_all\.deb\.\d+-\w+\.part$/)]);
  });

  it("is done with no packages", async () => {
    expect(await fetchAll([])).toEqual(new Map());
  });
});

/** Path of a package on the mirror. */
const pathOf = ({ archive, path }: LockedPackage) => `/${archive}/${path}`;

describe("fetchPackages from a mirror that misbehaves", () => {
  const half = (one: LockedPackage) => `bytes=${one.size >> 1}-`;
  const isWhole = async (one: LockedPackage & { content: Buffer }, paths: Map<string, string>) => {
    expect(readFileSync(paths.get(one.name)!).equals(one.content)).toBe(true);
    expect(cachedFiles()).toHaveLength(1);
  };

  it("continues where the connection broke off, with growing pauses", async () => {
    const one = offer("a");
    mirror.misbehave.set(pathOf(one), { how: "break off", times: 3 });
    await isWhole(one, await fetchAll([one]));
    const at = (tries: number) => one.size - Math.ceil(one.size / 2 ** tries);
    expect(mirror.ranges).toEqual(["", half(one), `bytes=${at(2)}-`, `bytes=${at(3)}-`]);
    expect(pauses).toEqual([500, 1000, 2000]);
  });

  it("continues after silence", async () => {
    const one = offer("a");
    mirror.misbehave.set(pathOf(one), { how: "fall silent", times: 1 });
    await isWhole(one, await fetchAll([one], { network: strict }));
    expect(mirror.ranges.slice(0, 2)).toEqual(["", half(one)]);
  });

  it("gives up a server that sends next to nothing, and goes to the next place with what has come", async () => {
    const one = offer("a");
    mirror.misbehave.set(pathOf(one), { how: "drip", times: 99 });
    snapshot.files.set(`/debian/${snapshotTime}/${one.path}`, one.content);
    await isWhole(one, await fetchAll([one], { network: strict }));
    expect(mirror.requests).toHaveLength(4);
    expect(snapshot.ranges).toEqual([expect.stringMatching(/^bytes=\d+-$/)]);
  });

  it("takes the whole from a server that knows no ranges, also when it breaks off", async () => {
    const one = offer("a");
    const path = pathOf(one);
    mirror.misbehave.set(path, { how: "break off", times: 1 });
    const wait = async () => void mirror.misbehave.set(path, { how: "ignore the range", times: 9 });
    await isWhole(one, await fetchAll([one], { network: { ...impatient, wait } }));
    expect(mirror.ranges).toEqual(["", half(one)]);
  });

  it("does not trust an answer with another part than it asked for", async () => {
    const one = offer("a");
    leavePart(one, one.content.subarray(0, 1000));
    mirror.misbehave.set(pathOf(one), { how: "send another range", times: 1 });
    await isWhole(one, await fetchAll([one]));
    expect(mirror.ranges).toEqual(["bytes=1000-", ""]);
  });

  it("begins anew when the file was changed between two parts", async () => {
    const one = offer("a");
    mirror.files.set(pathOf(one), Buffer.alloc(one.size, "x"));
    mirror.misbehave.set(pathOf(one), { how: "break off", times: 1 });
    const wait = async () => void mirror.files.set(pathOf(one), one.content);
    await isWhole(one, await fetchAll([one], { network: { ...impatient, wait } }));
    expect(mirror.ranges).toEqual(["", half(one), ""]);
  });

  it.each([
    ["bytes", Buffer.alloc(19_000, "x"), "is not the locked file"],
    ["length, too short", Buffer.alloc(18_999, "x"), "has 18999 bytes, not the expected 19000"],
    ["length, too long", Buffer.alloc(19_001, "x"), "has 19001 bytes, not the expected 19000"],
  ])("throws away a file of another %s and asks the next place, once", async (_what, content, text) => {
    const one = { ...offer("a"), size: 19_000 };
    const right = Buffer.alloc(19_000, "r");
    const locked = { ...one, content: right, sha256: sha256(right) };
    mirror.files.set(pathOf(one), content);
    const failure = await fetchAll([locked]).catch((error: Error) => error);
    expect(failure).toMatchObject({
      name: "DownloadError",
      gone: true,
      message: expect.stringContaining(text),
    });
    expect(cachedFiles()).toEqual([]);
    snapshot.files.set(`/debian/${snapshotTime}/${one.path}`, right);
    await isWhole(locked, await fetchAll([locked]));
    expect([mirror.requests.length, snapshot.requests.length]).toEqual([2, 2]);
  });

  it("stops reading what is longer than locked and does not say so before", async () => {
    const one = offer("a");
    const client = chunked([one.content, Buffer.alloc(1)]);
    await expect(fetchAll([one], { network: { ...impatient, client } })).rejects.toThrow(
      /longer than the expected/,
    );
    expect(cachedFiles()).toEqual([]);
  });

  it.each([429, 503])("waits as long as the server asks for with %d, up to a minute", async (status) => {
    const one = offer("a");
    const headers = { "Retry-After": "7" };
    mirror.misbehave.set(pathOf(one), { how: { status, headers }, times: 1 });
    await isWhole(one, await fetchAll([one]));
    expect(pauses).toEqual([7000]);
    const date = new Date(Date.now() + 30_000).toUTCString();
    const three = offer("c");
    mirror.misbehave.set(pathOf(three), { how: { status, headers: { "Retry-After": date } }, times: 1 });
    await fetchAll([three]);
    expect(pauses.pop()).toBeGreaterThan(10_000);
    const two = offer("b");
    mirror.misbehave.set(pathOf(two), { how: { status, headers: { "Retry-After": "3600" } }, times: 9 });
    await expect(fetchAll([two])).rejects.toThrow(
      `answered ${status} and wants to be left alone for 3600 seconds`,
    );
    expect(pauses).toEqual([7000]);
  });

  it("goes on when the server hangs up", async () => {
    const one = offer("a");
    mirror.misbehave.set(pathOf(one), { how: "hang up", times: 2 });
    await isWhole(one, await fetchAll([one]));
  });

  it("goes to the next place when the server closes every connection at once", async () => {
    const one = offer("a");
    snapshot.files.set(`/debian/${snapshotTime}/${one.path}`, one.content);
    const closing = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => closing.listen(0, "127.0.0.1", resolve));
    const base = `http://127.0.0.1:${(closing.address() as AddressInfo).port}`;
    try {
      await isWhole(one, await fetchAll([one], { mirrors: { debian: base, security: base } }));
    } finally {
      closing.close();
    }
    expect(pauses).toEqual([500, 1000, 2000]);
  });

  it("follows redirects, but neither round in circles nor to what is no http address", async () => {
    const one = offer("a");
    const to = (location: string) => ({ status: 302, headers: { Location: location } });
    mirror.files.set("/elsewhere", one.content);
    mirror.misbehave.set(pathOf(one), { how: to("/elsewhere"), times: 9 });
    await isWhole(one, await fetchAll([one]));
    const two = offer("b");
    mirror.misbehave.set(pathOf(two), { how: to(pathOf(two)), times: 99 });
    await expect(fetchAll([two])).rejects.toThrow("redirected more than 5 times");
    const three = offer("c");
    mirror.misbehave.set(pathOf(three), { how: to("file:///etc/passwd"), times: 99 });
    await expect(fetchAll([three])).rejects.toThrow(/redirected to "file:.* no http or https address/);
  });

  it("says at once that there is no network, once for all packages", async () => {
    const packages = Array.from({ length: 100 }, (_, number) => offer(`p${number}`));
    await Promise.all([mirror.close(), snapshot.close()]);
    const failure = (await fetchAll(packages).catch((error: Error) => error)) as Error;
    expect(failure).toMatchObject({ name: "DownloadError", gone: false });
    expect(failure.message.split("\n")).toEqual([
      "Debian's packages cannot be fetched: there is no connection.",
      expect.stringMatching(/^ {2}http:.*: no connection \(connect ECONNREFUSED/),
      expect.stringMatching(/^ {2}http:.*: no connection \(connect ECONNREFUSED/),
      expect.stringMatching(
        /^The cache is .*; 100 of 100 packages \(\d\.\d MB\) are missing in it\. Check the network connection, .* is kept\.$/,
      ),
    ]);
    // Six at once, two tries each at two places.
    expect(pauses.length).toBeLessThanOrEqual(2 * 6);
    [mirror, snapshot] = await Promise.all([startMirror(), startMirror()]);
  });
});

/** Puts into the cache what a build left that ended in the middle of a package. */
function leavePart(one: LockedPackage, content: Uint8Array, pid = endedProcess()): string {
  const path = `${packagePath(cache, one)}.${pid}-01234567.part`;
  mkdirSync(join(cache, "packages"), { recursive: true });
  writeFileSync(path, content);
  return path;
}

/** The id of a process that has ended. */
function endedProcess(): number {
  return spawnSync(process.execPath, ["--version"]).pid;
}

/** Answers with these pieces and no Content-Length. */
function chunked(pieces: readonly Buffer[]): HttpClient {
  return async () => ({ status: 200, headers: {}, body: Readable.from(pieces) });
}

describe("fetchPackages after builds that were ended", () => {
  it("continues the longest part that they left and removes the others", async () => {
    const one = offer("a");
    leavePart(one, one.content.subarray(0, 1000));
    leavePart(one, one.content.subarray(0, 3000), endedProcess());
    const events: { done?: number; reused?: number }[] = [];
    await fetchAll([one], { onProgress: (event) => events.push(event) });
    expect(mirror.ranges).toEqual(["bytes=3000-"]);
    expect(cachedFiles()).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({ done: one.size, reused: 3000 });
  });

  it("asks for nothing when all had come", async () => {
    const one = offer("a");
    leavePart(one, one.content);
    await fetchAll([one]);
    expect(mirror.requests).toEqual([]);
    expect(cachedFiles()).toHaveLength(1);
  });

  it("begins anew when what they left is wrong or too long", async () => {
    const [one, two] = [offer("a"), offer("b")];
    leavePart(one, Buffer.alloc(1000, "x"));
    leavePart(two, Buffer.alloc(two.size + 1, "x"));
    const paths = await fetchAll([one, two]);
    for (const { name, content } of [one, two])
      expect(readFileSync(paths.get(name)!).equals(content)).toBe(true);
    expect(mirror.ranges.toSorted()).toEqual(["", "", "bytes=1000-"]);
    expect(cachedFiles()).toHaveLength(2);
  });

  it("leaves alone what a running build writes, until nobody wrote to it for long", async () => {
    const one = offer("a");
    const part = leavePart(one, one.content.subarray(0, 1000), process.ppid);
    await fetchAll([one]);
    expect(mirror.ranges).toEqual([""]);
    expect(existsSync(part)).toBe(true);
    const two = offer("b");
    const old = leavePart(two, two.content.subarray(0, 1000), process.ppid);
    const hourAgo = new Date(Date.now() - 3_600_000);
    utimesSync(old, hourAgo, hourAgo);
    await fetchAll([two]);
    expect(mirror.ranges).toEqual(["", "bytes=1000-"]);
    expect(existsSync(old)).toBe(false);
  });

  it("fetches what no other build is fetching first", async () => {
    // More than are fetched at once; the longest name is the largest file, which would come first.
    const packages = Array.from({ length: 12 }, (_, number) => offer("x".repeat(12 - number)));
    leavePart(packages[0]!, Buffer.alloc(1), process.ppid);
    await fetchAll(packages);
    expect(mirror.requests.indexOf(pathOf(packages[0]!))).toBeGreaterThanOrEqual(6);
  });
});

describe("httpGet", () => {
  const options = { maxBytes: 1000, network: { ...impatient, silenceMilliseconds: 50 } };

  it("gives a silent server up and tries again", async () => {
    mirror.files.set("/a", Buffer.from("content"));
    mirror.misbehave.set("/a", { how: "fall silent", times: 1 });
    expect((await httpGet(`${mirror.url}/a`, options)).toString()).toBe("content");
    expect(mirror.requests).toEqual(["/a", "/a"]);
  });

  it("says that nothing came when the server stays silent", async () => {
    mirror.files.set("/a", Buffer.from("content"));
    mirror.misbehave.set("/a", { how: "fall silent", times: 9 });
    await expect(httpGet(`${mirror.url}/a`, options)).rejects.toThrow(/only 3 bytes came for 0\.05 seconds/);
    mirror.files.set("/b", Buffer.from("c"));
    mirror.misbehave.set("/b", { how: "fall silent", times: 9 });
    await expect(httpGet(`${mirror.url}/b`, options)).rejects.toThrow(/nothing came for 0\.05 seconds/);
    expect(mirror.requests).toHaveLength(8);
  });

  it("refuses an answer that is longer than allowed", async () => {
    mirror.files.set("/a", Buffer.alloc(1001));
    await expect(httpGet(`${mirror.url}/a`, options)).rejects.toThrow("longer than the expected 1000 bytes");
    expect(mirror.requests).toHaveLength(1);
  });

  it("does not ask again for what is not there", async () => {
    await expect(httpGet(`${mirror.url}/a`, options)).rejects.toMatchObject({
      name: "HttpError",
      status: 404,
    });
    expect(mirror.requests).toEqual(["/a"]);
  });

  it("says so when there is no server", async () => {
    const { url, close } = await startMirror();
    await close();
    await expect(httpGet(url, options)).rejects.toThrow(/no connection \(.*ECONNREFUSED/);
  });
});
