/**
 * A Debian mirror on loopback for tests of image/packages/: serves what it is given, and can be told to
 * misbehave for a path. With its own signing key in the place of Debian's.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createCleartextMessage, generateKey, type PrivateKey, type PublicKey, sign } from "openpgp";

/**
 * What the server does instead of simply answering. "break off" and "fall silent" come after half of what was asked
 * for; "drip" sends a byte at a time, "slowly" some megabytes a second; "hang up" closes the connection without an answer.
 */
export type Misbehaviour =
  | "break off"
  | "fall silent"
  | "drip"
  | "slowly"
  | "hang up"
  | "ignore the range"
  | "send another range"
  | Readonly<{ status: number; headers?: Readonly<Record<string, string>> }>
  | Readonly<{ content: Buffer; encoding?: string }>;

/**
 * In milliseconds: what comes in the same moment as the end of its connection is lost in Node's streams, and these
 * tests want it to arrive.
 */
const BEFORE_BREAKING_OFF = 200;

export type TestMirror = Readonly<{
  /** Base URL without a slash at the end. */
  url: string;
  /** What is served, in parts if asked for; anything else is 404. Paths begin with a slash. */
  files: Map<string, Buffer>;
  /** How often the server still misbehaves for a path. */
  misbehave: Map<string, { how: Misbehaviour; times: number }>;
  /** Every path asked for, in order. */
  requests: string[];
  /** The Range fields of these requests, "" where there was none. */
  ranges: string[];
  /** Bytes of bodies handed to the network so far, of those sent slowly. */
  sent: () => number;
  close: () => Promise<void>;
}>;

const DRIP = { bytes: 1, milliseconds: 10 };
const SLOWLY = { bytes: 8192, milliseconds: 4 };

/** With `tls` by https. */
export async function startMirror(tls?: { key: string; cert: string }): Promise<TestMirror> {
  const files: TestMirror["files"] = new Map();
  const misbehave: TestMirror["misbehave"] = new Map();
  const requests: string[] = [];
  const ranges: string[] = [];
  let sent = 0;
  const sendInPieces = (response: ServerResponse, body: Buffer, pace: typeof DRIP): void => {
    let at = 0;
    const timer = setInterval(() => {
      if (response.destroyed || at >= body.length) {
        clearInterval(timer);
        response.end();
        return;
      }
      const piece = body.subarray(at, at + pace.bytes);
      at += piece.length;
      sent += piece.length;
      response.write(piece);
    }, pace.milliseconds);
  };
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? "";
    const range = request.headers.range ?? "";
    requests.push(path);
    ranges.push(range);
    const content = files.get(path);
    const trouble = misbehave.get(path);
    const how = trouble && trouble.times-- > 0 ? trouble.how : undefined;
    if (how === "hang up") return void request.socket.destroy();
    if (typeof how === "object" && "status" in how)
      return void response.writeHead(how.status, how.headers).end();
    const whole = typeof how === "object" ? how.content : content;
    if (!whole) return void response.writeHead(404).end("no such file");
    if (typeof how === "object" && how.encoding) response.setHeader("Content-Encoding", how.encoding);
    const body =
      how === "ignore the range" ? writeHead(response, whole, "") : writeHead(response, whole, range, how);
    if (how === "drip") return sendInPieces(response, body, DRIP);
    if (how === "slowly") return sendInPieces(response, body, SLOWLY);
    if (how !== "break off" && how !== "fall silent") return void response.end(body);
    response.write(body.subarray(0, body.length >> 1), () => {
      if (how === "break off") setTimeout(() => response.destroy(), BEFORE_BREAKING_OFF);
    });
  };
  const server = tls ? createTlsServer(tls, answer) : createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `${tls ? "https" : "http"}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    misbehave,
    requests,
    ranges,
    sent: () => sent,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Writes the head of the answer (RFC 9110 §14.4); returns the body that belongs to it. */
function writeHead(response: ServerResponse, whole: Buffer, range: string, how?: Misbehaviour): Buffer {
  const from = Number(/^bytes=(\d+)-$/.exec(range)?.[1] ?? 0);
  if (from === 0) {
    response.writeHead(200, { "Content-Length": whole.length });
    return whole;
  }
  if (from >= whole.length) {
    response.writeHead(416, { "Content-Length": 0, "Content-Range": `bytes */${whole.length}` });
    return Buffer.alloc(0);
  }
  const start = how === "send another range" ? from - 1 : from;
  response.writeHead(206, {
    "Content-Length": whole.length - start,
    "Content-Range": `bytes ${start}-${whole.length - 1}/${whole.length}`,
  });
  return whole.subarray(start);
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
