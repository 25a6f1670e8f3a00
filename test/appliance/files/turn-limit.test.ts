/** What all calls together may take of the line, by the real kernel between two network namespaces. */
import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { nftablesConf } from "../../../appliance/files/nftables.ts";

const PORT = 50_000;
const DATAGRAMS = 300;
const PAYLOAD = 1000;
/** IPv4 and UDP. */
const HEADERS = 28;

const sender = `
const socket = require("node:dgram").createSocket("udp4");
const begin = performance.now();
let left = ${DATAGRAMS};
const sent = () => {
  if (--left > 0) return;
  console.log("seconds", (performance.now() - begin) / 1000);
  socket.close();
};
for (let i = 0; i < ${DATAGRAMS}; i++) socket.send(Buffer.alloc(${PAYLOAD}), ${PORT}, "192.0.2.1", sent);
`;

/** The rules of stdin stand in a namespace; datagrams come from another. Those that pass are counted behind them. */
const script = `
nft -f -
nft add table inet seen
nft add chain inet seen input '{ type filter hook input priority 10; }'
nft add rule inet seen input udp dport ${PORT} counter
unshare --net sleep 20 &
peer=$!
trap 'kill $peer' EXIT
until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do :; done
ip link add name out address 02:00:00:00:00:01 type veth peer name in address 02:00:00:00:00:02 netns $peer
ip address add 192.0.2.1/24 dev out
ip link set out up
there() { nsenter --target $peer --net "$@"; }
there ip address add 192.0.2.2/24 dev in
there ip link set in up
# Only few datagrams wait for an answer of ARP.
there ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev in
there '${process.execPath}' -e '${sender}'
nft list chain inet seen input
`;

const works =
  spawnSync("unshare", [
    "--net",
    "--map-root-user",
    "sh",
    "-euc",
    "nft list ruleset; ip link add name out type veth",
  ]).status === 0;

it.skipIf(!works)("lets calls take what is set, and no more (needs nft, ip and user namespaces)", () => {
  const maxMegabits = 1;
  const rules = nftablesConf({
    ...{ ssh: false, metrics: false, connections: 100 },
    turn: { firstPort: PORT, lastPort: PORT + 99, maxMegabits },
  });
  const { stdout, stderr } = spawnSync("unshare", ["--net", "--map-root-user", "sh", "-euc", script], {
    ...{ input: rules, encoding: "utf8", timeout: 20_000 },
  });
  expect(stderr).toBe("");
  const seconds = Number(/seconds ([\d.]+)/.exec(stdout)?.[1]);
  const passed = Number(/counter packets (\d+)/.exec(stdout)?.[1]);
  // A second's worth at once, and what comes to it while they are sent.
  const perSecond = (maxMegabits * 125_000) / (PAYLOAD + HEADERS);
  expect(passed).toBeGreaterThanOrEqual(Math.floor(perSecond));
  expect(passed).toBeLessThanOrEqual(Math.ceil(perSecond * (1 + seconds)));
});
