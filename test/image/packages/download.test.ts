import { existsSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { LockedPackage } from "../../../image/packages/lock.ts";
import { endedProcess, pathOf, snapshotTime, usePackageSource } from "../../support/package-source.ts";

const source = usePackageSource();
const { offer, fetchAll, leavePart } = source;

describe("fetchPackages", () => {
  it("brings every package from its archive into the cache and counts the bytes", async () => {
    const packages = ["a", "b", "c", "d", "e", "f", "g", "h"].map((name) => offer(name));
    packages.push(offer("s", "security"));
    const events: object[] = [];
    const paths = await fetchAll(packages, { onProgress: (event) => events.push(event) });
    for (const { name, content } of packages)
      expect(readFileSync(paths.get(name)!).equals(content)).toBe(true);
    expect(source.cachedFiles()).toHaveLength(packages.length);
    const total = packages.reduce((sum, { size }) => sum + size, 0);
    expect(events.at(-1)).toMatchObject({ done: total, total, unit: "bytes" });
  });

  it("asks for nothing that is in the cache", async () => {
    const packages = [offer("a"), offer("b")];
    await fetchAll(packages);
    source.mirror.requests.length = 0;
    await fetchAll(packages);
    expect(source.mirror.requests).toEqual([]);
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
    source.mirror.files.clear();
    const at = (archive: string) => `/${archive}/${snapshotTime}/pool/main`;
    source.snapshot.files.set(`${at("debian")}/a/a_1_all.deb`, packages[0]!.content);
    source.snapshot.files.set(`${at("debian-security")}/s/s_1_all.deb`, packages[1]!.content);
    const paths = await fetchAll(packages);
    expect(readFileSync(paths.get("s")!).equals(packages[1]!.content)).toBe(true);
  });

  it("takes from the archive of old packages what the mirror has otherwise than locked", async () => {
    const one = offer("a");
    const path = "/debian/pool/main/a/a_1_all.deb";
    source.mirror.files.set(path, Buffer.alloc(one.size, "x"));
    source.snapshot.files.set(`/debian/${snapshotTime}/pool/main/a/a_1_all.deb`, one.content);
    expect(readFileSync((await fetchAll([one])).get("a")!).equals(one.content)).toBe(true);
  });

  it("names package, places and mend when it is nowhere, and leaves no part of it behind", async () => {
    const packages = [offer("a"), offer("pigeon")];
    source.mirror.files.set("/debian/pool/main/p/pigeon_1_all.deb", Buffer.alloc(packages[1]!.size, "x"));
    const failure = await fetchAll(packages).catch((error: Error) => error);
    expect(failure).toMatchObject({ name: "DownloadError" });
    const { message } = failure as Error;
    expect(failure).toMatchObject({ gone: true });
    expect(message).toContain("the package pigeon 1 is gone: no place has the locked file any more");
    expect(message).toContain("pigeon_1_all.deb is not the locked file (other size or SHA-256)");
    expect(message).toContain("pigeon_1_all.deb answered 404");
    expect(message).toMatch(/homing build … --refresh .*\.\/homing lock/);
    expect(source.cachedFiles().some((name) => /pigeon|\.part$/.test(name))).toBe(false);
  });

  it("says what it is about before the mirror has answered", async () => {
    const stages: string[] = [];
    const client = async () => Promise.reject(Object.assign(new Error("no"), { code: "ENOTFOUND" }));
    const asked = fetchAll([offer("a")], {
      network: { ...source.network, client },
      onProgress: ({ stage }: { stage: string }) => stages.push(stage),
    });
    await expect(asked).rejects.toThrow("there is no connection");
    expect(new Set(stages)).toEqual(new Set(["Fetching the Debian packages"]));
  });

  it("stops at once when it is told to, and keeps what has come", async () => {
    const stop = new AbortController();
    const one = offer("a");
    source.mirror.misbehave.set(pathOf(one), { how: "fall silent", times: 1 });
    const onProgress = ({ done = 0 }) => {
      if (done > 0) stop.abort(new Error("enough"));
    };
    await expect(fetchAll([one], { signal: stop.signal, onProgress })).rejects.toThrow("enough");
    expect(source.mirror.requests).toHaveLength(1);
    expect(source.snapshot.requests).toHaveLength(0);
    expect(source.cachedFiles()).toEqual([expect.stringMatching(/_1_all\.deb\.\d+-\w+\.part$/)]);
  });

  it("is done with no packages", async () => {
    expect(await fetchAll([])).toEqual(new Map());
  });
});

describe("fetchPackages after builds that were ended", () => {
  it("continues the longest part that they left and removes the others", async () => {
    const one = offer("a");
    leavePart(one, one.content.subarray(0, 1000));
    leavePart(one, one.content.subarray(0, 3000), endedProcess());
    const events: { done?: number; reused?: number }[] = [];
    await fetchAll([one], { onProgress: (event) => events.push(event) });
    expect(source.mirror.ranges).toEqual(["bytes=3000-"]);
    expect(source.cachedFiles()).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({ done: one.size, reused: 3000 });
  });

  it("asks for nothing when all had come", async () => {
    const one = offer("a");
    leavePart(one, one.content);
    await fetchAll([one]);
    expect(source.mirror.requests).toEqual([]);
    expect(source.cachedFiles()).toHaveLength(1);
  });

  it("begins anew when what they left is wrong or too long", async () => {
    const [one, two] = [offer("a"), offer("b")];
    leavePart(one, Buffer.alloc(1000, "x"));
    leavePart(two, Buffer.alloc(two.size + 1, "x"));
    const paths = await fetchAll([one, two]);
    for (const { name, content } of [one, two])
      expect(readFileSync(paths.get(name)!).equals(content)).toBe(true);
    expect(source.mirror.ranges.toSorted()).toEqual(["", "", "bytes=1000-"]);
    expect(source.cachedFiles()).toHaveLength(2);
  });

  it("leaves alone what a running build writes, until nobody wrote to it for long", async () => {
    const one = offer("a");
    const part = leavePart(one, one.content.subarray(0, 1000), process.ppid);
    await fetchAll([one]);
    expect(source.mirror.ranges).toEqual([""]);
    expect(existsSync(part)).toBe(true);
    const two = offer("b");
    const old = leavePart(two, two.content.subarray(0, 1000), process.ppid);
    const hourAgo = new Date(Date.now() - 3_600_000);
    utimesSync(old, hourAgo, hourAgo);
    await fetchAll([two]);
    expect(source.mirror.ranges).toEqual(["", "bytes=1000-"]);
    expect(existsSync(old)).toBe(false);
  });

  it("fetches what no other build is fetching first", async () => {
    // More than are fetched at once; the longest name is the largest file, which would come first.
    const packages = Array.from({ length: 12 }, (_, number) => offer("x".repeat(12 - number)));
    leavePart(packages[0]!, Buffer.alloc(1), process.ppid);
    await fetchAll(packages);
    expect(source.mirror.requests.indexOf(pathOf(packages[0]!))).toBeGreaterThanOrEqual(6);
  });

  it("begins at the other end when an earlier build is at work", async () => {
    const packages = Array.from({ length: 12 }, (_, number) => offer("x".repeat(12 - number)));
    // Numbers begin anew when they are used up; nothing is earlier than the first.
    leavePart(offer("other"), Buffer.alloc(1), 1);
    await fetchAll(packages);
    const order = (one: LockedPackage) => source.mirror.requests.indexOf(pathOf(one));
    expect(order(packages[11]!)).toBeLessThan(order(packages[0]!));
  });
});
