/** Tests of fetching packages from mirrors that misbehave in every way they can. */
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { Network } from "../../../image/packages/http.ts";
import type { HttpClient } from "../../../image/packages/http-client.ts";
import type { LockedPackage } from "../../../image/packages/lock.ts";
import { sha256, startMirror } from "../../support/mirror.ts";
import { pathOf, snapshotTime, usePackageSource } from "../../support/package-source.ts";

const source = usePackageSource();
const { offer, fetchAll, leavePart } = source;
/** Gives a silent server up soon. */
const strict = (): Network => ({ ...source.network, silenceMilliseconds: 300 });

/** Answers with these pieces and no Content-Length. */
function chunked(pieces: readonly Buffer[], headers: Readonly<Record<string, string>> = {}): HttpClient {
  return async () => ({ status: 200, headers, body: Readable.from(pieces) });
}

describe("fetchPackages from a mirror that misbehaves", () => {
  const half = (one: LockedPackage) => `bytes=${one.size >> 1}-`;
  const isWhole = async (one: LockedPackage & { content: Buffer }, paths: Map<string, string>) => {
    expect(readFileSync(paths.get(one.name)!).equals(one.content)).toBe(true);
    expect(source.cachedFiles()).toHaveLength(1);
  };

  it("continues where the connection broke off, with growing source.pauses", async () => {
    const one = offer("a");
    source.mirror.misbehave.set(pathOf(one), { how: "break off", times: 3 });
    await isWhole(one, await fetchAll([one]));
    const at = (tries: number) => one.size - Math.ceil(one.size / 2 ** tries);
    expect(source.mirror.ranges).toEqual(["", half(one), `bytes=${at(2)}-`, `bytes=${at(3)}-`]);
    expect(source.pauses).toEqual([500, 1000, 2000]);
  });

  it("continues after silence", async () => {
    const one = offer("a");
    source.mirror.misbehave.set(pathOf(one), { how: "fall silent", times: 1 });
    await isWhole(one, await fetchAll([one], { network: strict() }));
    expect(source.mirror.ranges.slice(0, 2)).toEqual(["", half(one)]);
  });

  it("gives up a server that sends next to nothing, and goes to the next place with what has come", async () => {
    const one = offer("a");
    source.mirror.misbehave.set(pathOf(one), { how: "drip", times: 99 });
    source.snapshot.files.set(`/debian/${snapshotTime}/${one.path}`, one.content);
    await isWhole(one, await fetchAll([one], { network: strict() }));
    expect(source.mirror.requests).toHaveLength(4);
    expect(source.snapshot.ranges).toEqual([expect.stringMatching(/^bytes=\d+-$/)]);
  });

  it("takes the whole from a server that knows no ranges, also when it breaks off", async () => {
    const one = offer("a");
    const path = pathOf(one);
    source.mirror.misbehave.set(path, { how: "break off", times: 1 });
    const wait = async () => void source.mirror.misbehave.set(path, { how: "ignore the range", times: 9 });
    await isWhole(one, await fetchAll([one], { network: { ...source.network, wait } }));
    expect(source.mirror.ranges).toEqual(["", half(one)]);
  });

  it("does not trust an answer with another part than it asked for", async () => {
    const one = offer("a");
    leavePart(one, one.content.subarray(0, 1000));
    source.mirror.misbehave.set(pathOf(one), { how: "send another range", times: 1 });
    await isWhole(one, await fetchAll([one]));
    expect(source.mirror.ranges).toEqual(["bytes=1000-", ""]);
  });

  it("begins anew when the file was changed between two parts", async () => {
    const one = offer("a");
    source.mirror.files.set(pathOf(one), Buffer.alloc(one.size, "x"));
    source.mirror.misbehave.set(pathOf(one), { how: "break off", times: 1 });
    const wait = async () => void source.mirror.files.set(pathOf(one), one.content);
    await isWhole(one, await fetchAll([one], { network: { ...source.network, wait } }));
    expect(source.mirror.ranges).toEqual(["", half(one), ""]);
  });

  it.each([
    ["bytes", Buffer.alloc(19_000, "x"), "is not the locked file"],
    ["length, too short", Buffer.alloc(18_999, "x"), "has 18999 bytes, not the expected 19000"],
    ["length, too long", Buffer.alloc(19_001, "x"), "has 19001 bytes, not the expected 19000"],
  ])("throws away a file of another %s and asks the next place, once", async (_what, content, text) => {
    const one = { ...offer("a"), size: 19_000 };
    const right = Buffer.alloc(19_000, "r");
    const locked = { ...one, content: right, sha256: sha256(right) };
    source.mirror.files.set(pathOf(one), content);
    const failure = await fetchAll([locked]).catch((error: Error) => error);
    expect(failure).toMatchObject({
      name: "DownloadError",
      gone: true,
      message: expect.stringContaining(text),
    });
    expect(source.cachedFiles()).toEqual([]);
    source.snapshot.files.set(`/debian/${snapshotTime}/${one.path}`, right);
    await isWhole(locked, await fetchAll([locked]));
    expect([source.mirror.requests.length, source.snapshot.requests.length]).toEqual([2, 2]);
  });

  it("takes no answer that was compressed on the way, says so, and goes to the next place", async () => {
    const one = offer("a");
    const content = gzipSync(one.content);
    source.mirror.misbehave.set(pathOf(one), { how: { content, encoding: "gzip" }, times: 9 });
    const said = `${source.mirror.url}${pathOf(one)} came compressed (gzip), which is not what was asked for`;
    await expect(fetchAll([one])).rejects.toThrow(said);
    expect(source.mirror.requests).toHaveLength(1);
    // Such servers often do not know the length before.
    const client = chunked([content], { "content-encoding": "gzip" });
    await expect(fetchAll([one], { network: { ...source.network, client } })).rejects.toThrow(said);
    expect(source.cachedFiles()).toEqual([]);
    expect(source.pauses).toEqual([]);
    source.snapshot.files.set(`/debian/${snapshotTime}/${one.path}`, one.content);
    await isWhole(one, await fetchAll([one]));
  });

  it("takes a file that the server calls compressed and sends as it is", async () => {
    const one = offer("a");
    source.mirror.misbehave.set(pathOf(one), { how: { content: one.content, encoding: "x-xz" }, times: 1 });
    await isWhole(one, await fetchAll([one]));
    expect(source.mirror.requests).toHaveLength(1);
  });

  it("stops reading what is longer than locked and does not say so before", async () => {
    const one = offer("a");
    const client = chunked([one.content, Buffer.alloc(1)]);
    await expect(fetchAll([one], { network: { ...source.network, client } })).rejects.toThrow(
      /longer than the expected/,
    );
    expect(source.cachedFiles()).toEqual([]);
  });

  it.each([429, 503])("waits as long as the server asks for with %d, up to a minute", async (status) => {
    const one = offer("a");
    const headers = { "Retry-After": "7" };
    source.mirror.misbehave.set(pathOf(one), { how: { status, headers }, times: 1 });
    await isWhole(one, await fetchAll([one]));
    expect(source.pauses).toEqual([7000]);
    const date = new Date(Date.now() + 30_000).toUTCString();
    const three = offer("c");
    source.mirror.misbehave.set(pathOf(three), {
      how: { status, headers: { "Retry-After": date } },
      times: 1,
    });
    await fetchAll([three]);
    expect(source.pauses.pop()).toBeGreaterThan(10_000);
    const two = offer("b");
    source.mirror.misbehave.set(pathOf(two), {
      how: { status, headers: { "Retry-After": "3600" } },
      times: 9,
    });
    await expect(fetchAll([two])).rejects.toThrow(
      `answered ${status} and wants to be left alone for 3600 seconds`,
    );
    expect(source.pauses).toEqual([7000]);
  });

  it("goes on when the server hangs up", async () => {
    const one = offer("a");
    source.mirror.misbehave.set(pathOf(one), { how: "hang up", times: 2 });
    await isWhole(one, await fetchAll([one]));
  });

  it("goes to the next place when the server closes every connection at once", async () => {
    const one = offer("a");
    source.snapshot.files.set(`/debian/${snapshotTime}/${one.path}`, one.content);
    const closing = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => closing.listen(0, "127.0.0.1", resolve));
    const base = `http://127.0.0.1:${(closing.address() as AddressInfo).port}`;
    try {
      await isWhole(one, await fetchAll([one], { mirrors: { debian: base, security: base } }));
    } finally {
      closing.close();
    }
    expect(source.pauses).toEqual([500, 1000, 2000]);
  });

  it("follows redirects, but neither round in circles nor to what is no http address", async () => {
    const one = offer("a");
    const to = (location: string) => ({ status: 302, headers: { Location: location } });
    source.mirror.files.set("/elsewhere", one.content);
    source.mirror.misbehave.set(pathOf(one), { how: to("/elsewhere"), times: 9 });
    await isWhole(one, await fetchAll([one]));
    const two = offer("b");
    source.mirror.misbehave.set(pathOf(two), { how: to(pathOf(two)), times: 99 });
    await expect(fetchAll([two])).rejects.toThrow("redirected more than 5 times");
    const three = offer("c");
    source.mirror.misbehave.set(pathOf(three), { how: to("file:///etc/passwd"), times: 99 });
    await expect(fetchAll([three])).rejects.toThrow(/redirected to "file:.* no http or https address/);
  });

  it("takes from the default mirror what one lacks that nobody but the host's apt names", async () => {
    const one = offer("a");
    const host = await startMirror();
    const from = { debian: "the mirror named in /etc/apt/sources.list", security: "another" };
    const mirrors = { debian: host.url, security: host.url, from };
    const further = { debian: `${source.mirror.url}/debian` };
    try {
      await isWhole(one, await fetchAll([one], { mirrors: { ...mirrors, further } }));
      expect([host.requests.length, source.snapshot.requests.length]).toEqual([1, 0]);
      const two = offer("b");
      source.mirror.files.delete(pathOf(two));
      const failure = (await fetchAll([two], { mirrors: { ...mirrors, further } }).catch(
        (error: Error) => error,
      )) as Error;
      expect(failure).toMatchObject({ name: "DownloadError", gone: true });
      expect(failure.message.split("\n").slice(1, 4)).toEqual([
        `  ${host.url}/${two.path} answered 404; it is the mirror named in /etc/apt/sources.list`,
        `  ${further.debian}/${two.path} answered 404; it is Homing's default mirror`,
        expect.stringMatching(/^ {2}http.* answered 404$/),
      ]);
      // Only the first has said so: the other may have it.
      await source.mirror.close();
      await expect(fetchAll([two], { mirrors: { ...mirrors, further } })).rejects.toMatchObject({
        gone: false,
      });
    } finally {
      await host.close();
      source.mirror = await startMirror();
    }
  });

  it("shows no password of a mirror", async () => {
    const one = offer("a");
    const base = `${source.mirror.url.replace("//", "//bob:s3cret@")}/debian`;
    const mirrors = { debian: base, security: base };
    const troubles: (Buffer | undefined)[] = [undefined, Buffer.alloc(1), Buffer.alloc(one.size)];
    for (const content of troubles) {
      if (content) source.mirror.files.set(pathOf(one), content);
      else source.mirror.files.delete(pathOf(one));
      const failure = await fetchAll([one], { mirrors }).catch((error: unknown) => error);
      const { name, message } = failure as Error;
      expect([name, message]).toEqual(["DownloadError", expect.not.stringMatching(/s3cret|bob/)]);
      expect(message).toContain(`${source.mirror.url}${pathOf(one)}`);
    }
    leavePart(one, one.content.subarray(0, 500));
    source.mirror.misbehave.set(pathOf(one), { how: { status: 416 }, times: 9 });
    await expect(fetchAll([one], { mirrors })).rejects.toThrow(
      `  ${source.mirror.url}${pathOf(one)} answered 416`,
    );
  });

  it("says at once that there is no network, once for all packages", async () => {
    const packages = Array.from({ length: 100 }, (_, number) => offer(`p${number}`));
    await Promise.all([source.mirror.close(), source.snapshot.close()]);
    const failure = (await fetchAll(packages).catch((error: Error) => error)) as Error;
    expect(failure).toMatchObject({ name: "DownloadError", gone: false });
    expect(failure.message.split("\n")).toEqual([
      "Debian's packages cannot be fetched: there is no connection.",
      expect.stringMatching(/^ {2}http:.*: no connection \(connect ECONNREFUSED/),
      expect.stringMatching(/^ {2}http:.*: no connection \(connect ECONNREFUSED/),
      expect.stringMatching(
        /^The cache is .*; 100 of 100 packages \(\d\.\d MB\) are missing in it\. Check the network connection.* is kept\.$/,
      ),
    ]);
    // Six at once, two tries each at two places.
    expect(source.pauses.length).toBeLessThanOrEqual(2 * 6);
    [source.mirror, source.snapshot] = await Promise.all([startMirror(), startMirror()]);
  });

  it("says what is still missing when some could be had", async () => {
    const packages = Array.from({ length: 40 }, (_, number) => offer(`p${number}`));
    // The smallest comes last; nobody serves its archive.
    const last = { ...offer("z", "security"), size: 1 };
    await source.snapshot.close();
    const mirrors = { debian: `${source.mirror.url}/debian`, security: source.snapshot.url };
    const failure = (await fetchAll([...packages, last], { mirrors }).catch(
      (error: Error) => error,
    )) as Error;
    const missing = Number(/; (\d+) of 41 packages .* are missing in it/.exec(failure.message)?.[1]);
    const whole = source.cachedFiles().filter((name) => !name.endsWith(".part")).length;
    expect(whole, failure.message).toBeGreaterThan(30);
    expect(missing).toBe(41 - whole);
    source.snapshot = await startMirror();
  });
});
