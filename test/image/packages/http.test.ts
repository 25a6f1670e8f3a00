/** Tests of asking for small files over HTTP (image/packages/http.ts). */
import { describe, expect, it } from "vitest";
import { httpGet } from "../../../image/packages/http.ts";
import { startMirror } from "../../support/mirror.ts";
import { usePackageSource } from "../../support/package-source.ts";

const source = usePackageSource();

describe("httpGet", () => {
  const options = { maxBytes: 1000, network: { ...source.network, silenceMilliseconds: 50 } };

  it("gives a silent server up and tries again", async () => {
    source.mirror.files.set("/a", Buffer.from("content"));
    source.mirror.misbehave.set("/a", { how: "fall silent", times: 1 });
    expect((await httpGet(`${source.mirror.url}/a`, options)).toString()).toBe("content");
    expect(source.mirror.requests).toEqual(["/a", "/a"]);
  });

  it("says that nothing came when the server stays silent", async () => {
    source.mirror.files.set("/a", Buffer.from("content"));
    source.mirror.misbehave.set("/a", { how: "fall silent", times: 9 });
    await expect(httpGet(`${source.mirror.url}/a`, options)).rejects.toThrow(
      /only 3 bytes came for 0\.05 seconds/,
    );
    source.mirror.files.set("/b", Buffer.from("c"));
    source.mirror.misbehave.set("/b", { how: "fall silent", times: 9 });
    await expect(httpGet(`${source.mirror.url}/b`, options)).rejects.toThrow(
      /nothing came for 0\.05 seconds/,
    );
    expect(source.mirror.requests).toHaveLength(8);
  });

  it("refuses an answer that is longer than allowed", async () => {
    source.mirror.files.set("/a", Buffer.alloc(1001));
    await expect(httpGet(`${source.mirror.url}/a`, options)).rejects.toThrow(
      "longer than the expected 1000 bytes",
    );
    expect(source.mirror.requests).toHaveLength(1);
  });

  it("does not ask again for what is not there", async () => {
    await expect(httpGet(`${source.mirror.url}/a`, options)).rejects.toMatchObject({
      name: "HttpError",
      status: 404,
    });
    expect(source.mirror.requests).toEqual(["/a"]);
  });

  it("shows no password, whatever goes wrong", async () => {
    source.mirror.files.set("/a", Buffer.alloc(1001));
    source.mirror.files.set("/b", Buffer.alloc(10));
    source.mirror.misbehave.set("/b", { how: "break off", times: 9 });
    source.mirror.misbehave.set("/c", { how: "hang up", times: 9 });
    const away = { status: 302, headers: { Location: "ftp://bob:s3cret@elsewhere/" } };
    source.mirror.misbehave.set("/e", { how: away, times: 9 });
    const base = source.mirror.url.replace("//", "//bob:s3cr@et@");
    const words = [
      "longer",
      "the connection broke",
      "no answer",
      "answered 404",
      'redirected to "ftp://elsewhere/"',
    ];
    for (const [index, word] of words.entries()) {
      const url = `${base}/${"abcde"[index]}`;
      const failure = await httpGet(url, { maxBytes: 1000, network: source.network }).catch(
        (error: unknown) => error,
      );
      const { name, message } = failure as Error;
      expect([name, message]).toEqual(["HttpError", expect.not.stringMatching(/s3cr|bob/)]);
      expect(message).toContain(word);
      expect(message).toContain(`${source.mirror.url}/${"abcde"[index]}`);
    }
  });

  it("says so when there is no server", async () => {
    const { url, close } = await startMirror();
    await close();
    await expect(httpGet(url, options)).rejects.toThrow(/no connection \(.*ECONNREFUSED/);
  });
});
