/**
 * coturn's own client and peer for ring 2, from the relay's root file system, at the test machine's place in the network.
 */
import { join } from "node:path";
import { runCommand, startTied } from "./commands.ts";
import { CLIENT_ADDRESS, type TestNetwork } from "./network.ts";

/** Two ends that send each other some datagrams, one a second. Milliseconds. */
const CALL_TIMEOUT = 30_000;

export type TurnCredentials = Readonly<{ user: string; password: string }>;

/** An echo at an address that this adds to the test machine, until `stop`. */
export async function startPeer(network: TestNetwork, address: string): Promise<{ stop: () => void }> {
  if (address !== CLIENT_ADDRESS)
    await runCommand(["ip", "address", "add", `${address}/32`, "dev", "homing0"]);
  const command = [...inRootfs(network), "turnutils_peer", "-L", address];
  const peer = startTied(command, join(network.folder, `turn-peer-${address}.log`));
  return { stop: () => void peer.kill("SIGKILL") };
}

/** Has datagrams go by way of the server to a peer and back; what the client says of it. */
export async function callPeer(
  network: TestNetwork,
  server: string,
  peer: string,
  { user, password }: TurnCredentials,
): Promise<string> {
  const client = ["turnutils_uclient", "-u", user, "-w", password, "-n", "2", "-m", "1", "-e", peer, server];
  const { stdout, stderr } = await runCommand([...inRootfs(network), ...client], {
    anyExitCode: true,
    timeout: CALL_TIMEOUT,
  });
  return stdout + stderr;
}

function inRootfs(network: TestNetwork): readonly string[] {
  return ["chroot", join(network.folder, "root")];
}
