/** Calls through the relay's TURN server: what clients are told of it, and where it leads and where not. */
import { beforeAll, describe, expect, it } from "vitest";
import { makeAccount } from "../support/accounts.ts";
import { runCommand } from "../support/commands.ts";
import { forbiddenPeers } from "../support/forbidden-peers.ts";
import { openInbox } from "../support/imap-session.ts";
import { BRIDGE, CLIENT_ADDRESS } from "../support/network.ts";
import { describeRelays } from "../support/ring.ts";
import { callPeer, makeTurnCredentials, startPeer, type TurnCredentials } from "../support/turn-client.ts";
import { waitFor } from "../support/wait.ts";

const TURN_TIMEOUT = 30_000;
/** Some dozen clients on a busy machine. */
const TABLE_TIMEOUT = 120_000;
/** Addresses of the Internet, in networks of the test's own. */
const PUBLIC_PEER = "9.9.9.2";
const PUBLIC_PEER_IPV6 = "2a00:9:9::2";
/** The relay's network by IPv6. */
const RELAY_IPV6 = "2a00:77:77::11";
const CLIENT_IPV6 = "2a00:77:77::1";
/** Of a service of the relay that is none of TURN's; its last word, which comes from the relay itself. */
const LISTENER_PORT = 7777;
const LAST_WORD = "that is all";

/** Says when it listens, by both families, and then what it hears and from where, until the last word. */
const listener = `
const socket = require("node:dgram").createSocket("udp6");
socket.on("message", (bytes, { address }) => {
  console.log(JSON.stringify({ from: address, bytes: bytes.length }));
  if (bytes.toString() === "${LAST_WORD}") process.exit();
});
socket.bind(${LISTENER_PORT}, "::");`;

const word = (address: string) => `
const socket = require("node:dgram").createSocket("${address.includes(":") ? "udp6" : "udp4"}");
socket.send("${LAST_WORD}", ${LISTENER_PORT}, "${address}", () => socket.close());`;

describeRelays("calls", { "_a.test": { settings: { turn: { enabled: true } } } }, (ring) => {
  const relay = () => ring.relay("_a.test");
  let newCredentials: () => TurnCredentials;

  const call = (address: string, credentials = newCredentials(), port?: number) =>
    callPeer(
      ring.network(),
      address.includes(":") ? RELAY_IPV6 : relay().address,
      { address, ...(port === undefined ? {} : { port }) },
      credentials,
    );

  beforeAll(async () => {
    newCredentials = await makeTurnCredentials(relay());
  });

  it("find their server by IMAP, which relays to the Internet and not into the relay's home", async () => {
    const alice = await makeAccount(relay());
    await using session = await openInbox(relay().address, alice.address, alice.password);
    const value = await waitFor("the TURN server is told of", TURN_TIMEOUT, async () => {
      const answer = await session.command('GETMETADATA "" /shared/vendor/deltachat/turn');
      return /turn (?!NIL)"?(?:\{\d+\}\n)?([^"\n)]+)/.exec(answer.untagged.join("\n"))?.[1];
    });
    const [host, port, user = "", password = ""] = value.split(":");
    expect([host, port]).toEqual(["_a.test", "3478"]);
    // A look at the addresses finds the same ones, and starts nothing again.
    const started = async () =>
      (await relay().exec("systemctl show homing-turn.service --property MainPID --value")).stdout;
    const before = await started();
    await relay().exec("systemctl start homing-turn-look.service");
    expect(await started()).toBe(before);
    const peers = [PUBLIC_PEER, CLIENT_ADDRESS];
    const running = await Promise.all(peers.map((peer) => startPeer(ring.network(), peer)));
    const [toPublic, toHome, byStranger] = await Promise.all([
      call(PUBLIC_PEER, { user, password }),
      call(CLIENT_ADDRESS, { user, password }),
      call(PUBLIC_PEER, { user, password: "guessed" }),
    ]);
    for (const { stop } of running) stop();
    expect(toPublic).toMatch(/Total lost packets 0 /);
    expect(toHome).toContain("403 (Forbidden IP)");
    expect(byStranger).toContain("Cannot complete Allocation");
  });

  describe("by IPv4 and IPv6", () => {
    beforeAll(async () => {
      await runCommand(["ip", "-6", "address", "add", `${CLIENT_IPV6}/64`, "dev", BRIDGE, "nodad"]);
      await relay().exec(`ip -6 address add ${RELAY_IPV6}/64 dev eth0 nodad`);
      await relay().exec(`ip -6 route add default via ${CLIENT_IPV6}`);
      // It finds the new address.
      await relay().exec("systemctl start homing-turn-look.service");
      const { stop } = await startPeer(ring.network(), PUBLIC_PEER_IPV6);
      try {
        await waitFor("a call by IPv6", TURN_TIMEOUT, async () =>
          /Total lost packets 0 /.test(await call(PUBLIC_PEER_IPV6)),
        );
      } finally {
        stop();
      }
    });

    it(
      "lead to nobody in a network that is not the Internet",
      async () => {
        const answers = await Promise.all(
          forbiddenPeers.map(async ({ what, example }) => {
            const said = await call(example);
            return `${what}, ${example}: ${/error (.*)/.exec(said)?.[1] ?? said}`;
          }),
        );
        expect(answers).toEqual(
          forbiddenPeers.map(({ what, example }) => `${what}, ${example}: 403 (Forbidden IP)`),
        );
      },
      TABLE_TIMEOUT,
    );

    it("lead to nothing else that listens on the relay, by any of its addresses", async () => {
      const heard = relay().exec(["/usr/lib/homing/node", "--eval", listener]);
      const port = LISTENER_PORT.toString(16).toUpperCase().padStart(4, "0");
      await waitFor("a service that listens", TURN_TIMEOUT, async () =>
        (await relay().exec("cat /proc/net/udp6")).stdout.includes(`:${port} `),
      );
      const addresses = [relay().address, RELAY_IPV6];
      const calls = await Promise.all(
        addresses.map((address) => call(address, newCredentials(), LISTENER_PORT)),
      );
      await relay().exec(["/usr/lib/homing/node", "--eval", word(relay().address)]);
      const lines = (await heard).stdout.trim().split("\n");
      expect(lines.map((line) => JSON.parse(line))).toEqual([
        { from: `::ffff:${relay().address}`, bytes: LAST_WORD.length },
      ]);
      // The server has sent them, as the other end of a call may have its place there. It is the firewall that stops them.
      for (const said of calls) expect(said).toMatch(/Total lost packets [1-9]\d* \(100\./);
    });
  });
});
