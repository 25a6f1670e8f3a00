/**
 * coturn's own client and peer for ring 2, from the relay's root file system, at the test machine's place in the network.
 */
import { createHmac } from "node:crypto";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { runPaths } from "../../appliance/layout.ts";
import { runCommand, startTied } from "./commands.ts";
import { BRIDGE, CLIENT_ADDRESS, type TestNetwork } from "./network.ts";
import type { Relay } from "./relay.ts";

/** Two ends that send each other some datagrams, one a second. Milliseconds. */
const CALL_TIMEOUT = 30_000;
/** What coturn's peer listens at. */
const PEER_PORT = 3480;
/** Seconds. */
const CREDENTIAL_LIFE = 86_400;

export type TurnCredentials = Readonly<{ user: string; password: string }>;

/** An echo at an address that this adds to the test machine, until `stop`. */
export async function startPeer(network: TestNetwork, address: string): Promise<{ stop: () => void }> {
  if (address !== CLIENT_ADDRESS) {
    const six = isIPv6(address);
    const add = ["address", "add", `${address}/${six ? 128 : 32}`, "dev", BRIDGE, ...(six ? ["nodad"] : [])];
    await runCommand(["ip", ...add]);
  }
  const command = [...inRootfs(network), "turnutils_peer", "-L", address, "-p", String(PEER_PORT)];
  const peer = startTied(command, join(network.folder, `turn-peer-${address.replaceAll(":", "-")}.log`));
  return { stop: () => void peer.kill("SIGKILL") };
}

/** Has datagrams go by way of the server to a peer and back; what the client says of it. Both of one family. */
export async function callPeer(
  network: TestNetwork,
  server: string,
  peer: Readonly<{ address: string; port?: number }>,
  { user, password }: TurnCredentials,
): Promise<string> {
  const client = [
    ...[
      "turnutils_uclient",
      "-u",
      user,
      "-w",
      password,
      "-n",
      "2",
      "-m",
      "1",
      ...(isIPv6(peer.address) ? ["-x"] : []),
    ],
    ...["-e", peer.address, "-r", String(peer.port ?? PEER_PORT), server],
  ];
  const { stdout, stderr } = await runCommand([...inRootfs(network), ...client], {
    anyExitCode: true,
    timeout: CALL_TIMEOUT,
  });
  return stdout + stderr;
}

/** Credentials with another name each time, as many accounts would have: a name has a quota of calls. */
export async function makeTurnCredentials(relay: Relay): Promise<() => TurnCredentials> {
  const secret = (await relay.exec(`cat ${runPaths.turnSecret}`)).stdout.trim();
  let end = Math.floor(Date.now() / 1000) + CREDENTIAL_LIFE;
  return () => {
    const user = String(end++);
    return { user, password: createHmac("sha1", secret).update(user).digest("base64") };
  };
}

function inRootfs(network: TestNetwork): readonly string[] {
  return ["chroot", join(network.folder, "root")];
}
