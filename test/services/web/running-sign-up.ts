/**
 * The web service and the account service, together as on the device, with few accounts to give. For tests of what apps
 * and browsers get of them.
 */
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AskControl, askControl } from "../../../appliance/ctl/control-client.ts";
import { selfSignedCertificate } from "../../../appliance/life/certificate.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { webDefaultsFolder } from "../../../appliance/web-defaults.ts";
import { startAuthService } from "../../../services/auth/service.ts";
import { createLog } from "../../../services/lib/log.ts";
import type { ShutdownStep } from "../../../services/lib/shutdown.ts";
import { startWebService } from "../../../services/web/service.ts";

export const domain = "_a.test";
export const homePin = "01234567";
/** Three accounts in all, then one in a minute; two for a network. */
const settings = `domain = "${domain}"
[sign_up]
max_load_average = 1000
min_free_memory_bytes = 0
min_free_disk_bytes = 0
relay_burst = 3
relay_per_hour = 60
network_burst = 2
network_per_hour = 1
`;

export type RunningSignUp = Readonly<{
  /** Where its files are: the PIN, the status. */
  folder: string;
  /** The port for requests without TLS. */
  httpPort: number;
  /** Where services/mux hands over. */
  webSocket: string;
  /** What homing-ctl asks. */
  control: AskControl;
  /** A new one has its limits whole again. */
  startAuth(): Promise<void>;
  stopAuth(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}>;

/** PROXY protocol version 2: TCP over IPv4, 192.0.2.`client`:4321 → 192.0.2.1:443. */
export function proxyHeaderOf(client: number): Buffer {
  const header = Buffer.from("0d0a0d0a000d0a515549540a2111000cc0000200c000020110e101bb", "hex");
  header[19] = client;
  return header;
}

export async function runSignUp(): Promise<RunningSignUp> {
  const folder = await mkdtemp(join(tmpdir(), "homing-web-new-"));
  const at = (name: string): string => join(folder, name);
  const log = createLog(() => {});
  await writeFile(at("relay.json"), JSON.stringify(parseRelayConfig(settings, "relay.toml")));
  await writeFile(at("secret"), "0123456789abcdef0123456789abcdef");
  await writeFile(at("home-pin"), homePin);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  await writeFile(at("key.pem"), keyPem);
  await writeFile(at("chain.pem"), await selfSignedCertificate({ domain, keyPem, now: new Date() }));
  let stopAuthSteps: readonly ShutdownStep[] = [];
  const run = async (steps: readonly ShutdownStep[]): Promise<void> => {
    for (const step of steps) await step.run();
  };
  const startAuth = async (): Promise<void> => {
    const { stop } = await startAuthService({
      settingsPath: at("relay.json"),
      secretPath: at("secret"),
      databasePath: at("accounts.sqlite"),
      writerProgram: new URL("../../../services/auth/store-writer.ts", import.meta.url),
      homePinPath: at("home-pin"),
      knownWaysPath: at("known-ways"),
      mailDirectory: folder,
      listen: { name: "auth", host: "127.0.0.1", port: 0 },
      recipients: { name: "recipients", path: at("recipients.sock") },
      signUp: { name: "sign-up", path: at("sign-up.sock") },
      reaper: { name: "reaper", path: at("reaper.sock") },
      control: { name: "control", path: at("control.sock"), mode: 0o600 },
      canary: { name: "canary", path: at("canary.sock") },
      log,
    });
    stopAuthSteps = stop;
  };
  const stopAuth = async (): Promise<void> => {
    await run(stopAuthSteps);
    stopAuthSteps = [];
  };
  await startAuth();
  const { front, stop } = await startWebService({
    settingsPath: at("relay.json"),
    certificate: { chain: at("chain.pem"), key: at("key.pem") },
    acmeChallenges: at("acme"),
    mail: { host: "127.0.0.1", port: 10024 },
    acceptedMail: at("accepted"),
    pages: [webDefaultsFolder],
    signUpSocket: at("sign-up.sock"),
    status: { facts: at("status.json"), canary: at("verdict.json") },
    listen: {
      http: { name: "http", host: "127.0.0.1", port: 0 },
      tls: { name: "web", path: at("web.sock") },
    },
    log,
  });
  return {
    folder,
    httpPort: (front.http.address() as { port: number }).port,
    webSocket: at("web.sock"),
    control: askControl(at("control.sock")),
    startAuth,
    stopAuth,
    [Symbol.asyncDispose]: async () => {
      await run(stop);
      await stopAuth();
      await rm(folder, { recursive: true });
    },
  };
}

/** A port on loopback that hands over to `webSocket` as services/mux does, for browsers: its number, and its end. */
export async function openPort(webSocket: string): Promise<{ port: number; close(): void }> {
  const server = createServer((socket) => {
    const onward = connect(webSocket);
    onward.write(proxyHeaderOf(7));
    socket.pipe(onward).pipe(socket);
    socket.on("error", () => onward.destroy());
    onward.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as { port: number }).port, close: () => server.close() };
}
