/** Tests of fetching packages from a mirror that behaves and one that does not. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fetchPackages } from "../../../image/packages/download.ts";
import { httpGet } from "../../../image/packages/http.ts";
import type { LockedPackage } from "../../../image/packages/lock.ts";
import { sha256, startMirror, type TestMirror } from "../../support/mirror.ts";

const lockTime = Date.UTC(2026, 10, 19, 2, 12, 54) / 1000;
/** Half a day after the lock's time, as snapshot.debian.org writes times. */
const snapshotTime = "20261119T141254Z";

let mirror: TestMirror;
let snapshot: TestMirror;
let cache: string;

beforeEach(async () => {
  [mirror, snapshot] = await Promise.all([startMirror(), startMirror()]);
  cache = mkdtempSync(join(tmpdir(), "homing-cache-"));
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

  it("tries again when the connection breaks off", async () => {
    const one = offer("a");
    mirror.misbehave.set("/debian/pool/main/a/a_1_all.deb", { how: "break off", times: 2 });
    await fetchAll([one]);
    expect(mirror.requests).toHaveLength(3);
    expect(cachedFiles()).toHaveLength(1);
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
    expect(message).toContain("the package pigeon 1 cannot be had");
    expect(message).toContain("pigeon_1_all.deb is not the locked file (other size or SHA-256)");
    expect(message).toContain("pigeon_1_all.deb answered 404");
    expect(message).toMatch(/homing build … --refresh .*\.\/homing lock/);
    expect(cachedFiles().some((name) => /pigeon|\.part$/.test(name))).toBe(false);
  });

  it("refuses a file that is longer than locked", async () => {
    const one = offer("a");
    mirror.files.set("/debian/pool/main/a/a_1_all.deb", Buffer.concat([one.content, Buffer.alloc(1)]));
    await expect(fetchAll([one])).rejects.toThrow(/longer than the expected/);
  });

  it("says what it is about before the mirror has answered", async () => {
    const stages: string[] = [];
    const fetch = async () => Promise.reject(new TypeError("fetch failed"));
    const asked = fetchAll([offer("a")], {
      fetch,
      onProgress: ({ stage }: { stage: string }) => stages.push(stage),
    });
    await expect(asked).rejects.toThrow("cannot be had");
    expect(stages).toEqual(["Fetching the Debian packages"]);
  });

  it("stops at once when it is told to", async () => {
    const stop = new AbortController();
    const one = offer("a");
    mirror.misbehave.set("/debian/pool/main/a/a_1_all.deb", { how: "fall silent", times: 1 });
    const onProgress = ({ done = 0 }) => {
      if (done > 0) stop.abort(new Error("enough"));
    };
    await expect(fetchAll([one], { signal: stop.signal, onProgress })).rejects.toThrow("enough");
    expect(mirror.requests).toHaveLength(1);
    expect(snapshot.requests).toHaveLength(0);
  });

  it("is done with no packages", async () => {
    expect(await fetchAll([])).toEqual(new Map());
  });
});

describe("httpGet", () => {
  const options = { maxBytes: 1000, silenceMilliseconds: 50 };

  it("gives a silent server up and tries again", async () => {
    mirror.files.set("/a", Buffer.from("content"));
    mirror.misbehave.set("/a", { how: "fall silent", times: 1 });
    expect((await httpGet(`${mirror.url}/a`, options)).toString()).toBe("content");
    expect(mirror.requests).toEqual(["/a", "/a"]);
  });

  it("says that nothing came when the server stays silent", async () => {
    mirror.files.set("/a", Buffer.from("content"));
    mirror.misbehave.set("/a", { how: "fall silent", times: 9 });
    await expect(httpGet(`${mirror.url}/a`, options)).rejects.toThrow(/nothing came for 0\.05 seconds/);
    expect(mirror.requests).toHaveLength(3);
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
