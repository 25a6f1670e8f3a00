/**
 * A Debian mirror on loopback for tests of image/packages/: serves what it is given, and can be told to
 * misbehave for a path. With its own signing key in the place of Debian's.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createCleartextMessage, generateKey, type PrivateKey, type PublicKey, sign } from "openpgp";

/** What the server does instead of simply answering: breaks off half-way, sends half and falls silent. */
export type Misbehaviour = "break off" | "fall silent";

export type TestMirror = Readonly<{
  /** Base URL without a slash at the end. */
  url: string;
  /** What is served; anything else is 404. Paths begin with a slash. */
  files: Map<string, Buffer>;
  /** How often the server still misbehaves for a path. */
  misbehave: Map<string, { how: Misbehaviour; times: number }>;
  /** Every path asked for, in order. */
  requests: string[];
  close: () => Promise<void>;
}>;

export async function startMirror(): Promise<TestMirror> {
  const files: TestMirror["files"] = new Map();
  const misbehave: TestMirror["misbehave"] = new Map();
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    requests.push(path);
    const content = files.get(path);
    const trouble = misbehave.get(path);
    if (!content) return void response.writeHead(404).end("no such file");
    response.writeHead(200, { "Content-Length": content.length });
    if (!trouble || trouble.times <= 0) return void response.end(content);
    trouble.times--;
    sendHalf(response, content, trouble.how);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    misbehave,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function sendHalf(response: ServerResponse, content: Buffer, how: Misbehaviour): void {
  response.write(content.subarray(0, content.length >> 1), () => {
    if (how === "break off") response.destroy();
  });
}

export async function testSigningKey(): Promise<{ privateKey: PrivateKey; publicKey: PublicKey }> {
  return generateKey({ type: "ecc", userIDs: [{ name: "Test archive" }], format: "object" });
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Whether publishSuite can work here. */
export const hasXz = spawnSync("xz", ["--version"]).status === 0;

function xz(text: string): Buffer {
  const made = spawnSync("xz", ["-0", "-c"], { input: text });
  if (made.status !== 0) throw new Error(made.stderr.toString());
  return made.stdout;
}

export type TestSuite = Readonly<{
  codename: string;
  /** Packages text by "component/architecture"; what is missing of the usual ones is published empty. */
  packages?: Readonly<Record<string, string>>;
  /** Seconds since 1970. */
  date: number;
  validUntil?: number;
  key: PrivateKey;
  byHash?: boolean;
}>;

/** Puts a suite's signed InRelease and its indexes on the mirror. Returns the path of InRelease. */
export async function publishSuite(mirror: TestMirror, suite: TestSuite): Promise<string> {
  const base = `/dists/${suite.codename}`;
  const lines: string[] = [];
  for (const component of ["main", "non-free-firmware"]) {
    for (const architecture of ["amd64", "arm64"]) {
      const folder = `${component}/binary-${architecture}`;
      const index = xz(suite.packages?.[`${component}/${architecture}`] ?? "");
      lines.push(` ${sha256(index)} ${index.length} ${folder}/Packages.xz`);
      const name = suite.byHash === false ? "Packages.xz" : `by-hash/SHA256/${sha256(index)}`;
      mirror.files.set(`${base}/${folder}/${name}`, index);
    }
  }
  const date = (seconds: number) => new Date(seconds * 1000).toUTCString().replace("GMT", "UTC");
  const text = [
    "Origin: Debian",
    `Codename: ${suite.codename}`,
    `Date: ${date(suite.date)}`,
    ...(suite.validUntil === undefined ? [] : [`Valid-Until: ${date(suite.validUntil)}`]),
    "SHA256:",
    ...lines,
  ].join("\n");
  const message = await createCleartextMessage({ text });
  const path = `${base}/InRelease`;
  mirror.files.set(path, Buffer.from(await sign({ message, signingKeys: suite.key })));
  return path;
}

/** A stanza of a Packages index. */
export function packageStanza(name: string, fields: Readonly<Record<string, string>> = {}): string {
  const all = {
    Package: name,
    Version: "1.0-1",
    Architecture: "all",
    Filename: `pool/main/${name[0]}/${name}/${name}_${fields.Version ?? "1.0-1"}_all.deb`,
    Size: "1000",
    SHA256: sha256(Buffer.from(`${name} ${fields.Version ?? ""}`)),
    ...fields,
  };
  const lines = Object.entries(all).map(([field, value]) => `${field}: ${value}`);
  return `${lines.join("\n")}\n\n`;
}
