/**
 * A real certificate authority for tests: Let's Encrypt's Pebble, which proves names as the real one does, with a proxy
 * in front that counts what is asked for and plays what this Pebble lacks (renewal information, a limit that is used
 * up). Used by the tests of services/certificates in rings 1 and 2.
 */
import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, request } from "node:https";
import { join } from "node:path";
import { selfSignedCertificate } from "../../appliance/life/certificate.ts";
import { startTied, waitForExit } from "./commands.ts";
import { freePort, startAtFreePort } from "./free-port.ts";

export type PebbleOptions = Readonly<{
  folder: string;
  /** What the authority and its proxy listen at; their certificate is for `host`. */
  address: string;
  host: string;
  /** ADDRESS:PORT of the DNS server that it looks names up at. */
  dnsServer: string;
  /** Where it looks for the answers to http-01. */
  httpPort: number;
  /** How many of a hundred nonces it refuses. */
  badNonces?: number;
  /** Of its certificates, in seconds. */
  lifetime?: number;
  /** Port of the proxy; a free one unless given. */
  port?: number;
}>;

export type Pebble = AsyncDisposable &
  Readonly<{
    directory: string;
    /** Certificate (PEM) to trust for its HTTPS. */
    trusted: string;
    /** Method and path of each request, oldest first. */
    requests: readonly string[];
    /** What new orders asked for (RFC 8555 §7.4). */
    orders: readonly Readonly<{
      identifiers: readonly Readonly<{ type: string; value: string }>[];
      profile?: string;
      replaces?: string;
    }>[];
    /** How many of the requests go to this place of the directory ("/order-plz"). */
    count: (path: string) => number;
    /** Answers instead of the authority from now on, where it returns true. */
    intercept: (handler: Interceptor | undefined) => void;
    /** Changes the directory that the authority shows. */
    changeDirectory: (change: (directory: Record<string, unknown>) => void) => void;
  }>;

export type Interceptor = (request: IncomingMessage, response: ServerResponse) => boolean;

const STOP_TIMEOUT = 20_000;
export const ORDER_PATH = "/order-plz";

/** Why there is no Pebble; undefined when there is. For `describe.skipIf`. */
export const missingPebble = spawnSync("pebble", ["-h"]).error === undefined ? undefined : "needs pebble";

export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const { folder, address, host, httpPort } = options;
  const keyPem = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  }).privateKey;
  const trusted = await selfSignedCertificate({ domain: host, keyPem, now: new Date() });
  const [certificate, privateKey] = [join(folder, "pebble.pem"), join(folder, "pebble-key.pem")];
  await writeFile(certificate, trusted);
  await writeFile(privateKey, keyPem);
  const configuration = join(folder, "pebble.json");
  const logFile = join(folder, "pebble.log");
  const start = async (listenPort: number) => {
    const pebble = {
      listenAddress: `127.0.0.1:${listenPort}`,
      managementListenAddress: `127.0.0.1:${await freePort()}`,
      ...{ certificate, privateKey, httpPort, tlsPort: 9 },
      ocspResponderURL: "",
      externalAccountBindingRequired: false,
      certificateValidityPeriod: options.lifetime ?? 90 * 86_400,
    };
    await writeFile(configuration, JSON.stringify({ pebble }));
    const nonces = `PEBBLE_WFE_NONCEREJECT=${options.badNonces ?? 0}`;
    const environment = ["env", "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0", nonces];
    const command = ["pebble", "-config", configuration, "-dnsserver", options.dnsServer];
    return startTied([...environment, ...command], logFile);
  };
  const { process: program, port } = await startAtFreePort("pebble", logFile, start, isUp);
  const requests: string[] = [];
  const orders: Pebble["orders"][number][] = [];
  let interceptor: Interceptor | undefined;
  let change: (directory: Record<string, unknown>) => void = () => {};
  const proxy = createServer({ key: keyPem, cert: trusted }, async (incoming, response) => {
    requests.push(`${incoming.method} ${incoming.url}`);
    const body = Buffer.concat(await incoming.toArray());
    if (incoming.url === ORDER_PATH) {
      const { payload } = JSON.parse(body.toString()) as { payload: string };
      orders.push(JSON.parse(Buffer.from(payload, "base64url").toString()));
    }
    if (interceptor?.(incoming, response)) return;
    const { method, url, headers } = incoming;
    const passed = request(
      { host: "127.0.0.1", port, method, path: url, headers, rejectUnauthorized: false },
      async (answer) => {
        if (url !== "/dir" || answer.statusCode !== 200) {
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(response);
          return;
        }
        const directory = JSON.parse((await answer.toArray()).join("")) as Record<string, unknown>;
        change(directory);
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(directory));
      },
    );
    passed.once("error", () => response.destroy());
    passed.end(body);
  });
  await new Promise<void>((resolve) => proxy.listen(options.port ?? 0, address, resolve));
  const bound = proxy.address();
  const outside = typeof bound === "object" && bound !== null ? bound.port : 0;
  return {
    directory: `https://${host}:${outside}/dir`,
    trusted,
    requests,
    orders,
    count: (path) => requests.filter((line) => line === `POST ${path}`).length,
    intercept: (handler) => {
      interceptor = handler;
    },
    changeDirectory: (by) => {
      change = by;
    },
    [Symbol.asyncDispose]: async () => {
      proxy.closeAllConnections();
      proxy.close();
      const ending = waitForExit(program, "pebble", STOP_TIMEOUT);
      program.kill("SIGKILL");
      await ending;
    },
  };
}

function isUp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", port, path: "/dir", rejectUnauthorized: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.once("error", () => resolve(false)).end();
  });
}
