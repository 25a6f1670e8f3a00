/**
 * Whether mail between two relays is lost or doubled when a program of either side is killed in the middle of it:
 * Postfix, the transport and the web service, port 443. Run as root: `node installer/launch.mjs --script
 * test/bench/kills.ts [--rounds 100]`. Prints a Markdown table; a round takes two to three seconds.
 */
import { parseArgs } from "node:util";
import { countThroughKills } from "../support/kills.ts";
import { currentNamespace } from "../support/namespace.ts";
import { createTestNetwork } from "../support/network.ts";
import { runWithRelays } from "../support/rootfs.ts";

const settings = { sending: { perMinute: 100_000, burst: 10_000 } };

async function measure(): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: "string", default: "100" } } });
  await using network = await createTestNetwork("kills");
  const from = await network.startRelay("_a.test", { settings });
  const to = await network.startRelay("_b.test", { settings });
  const result = await countThroughKills({ from, to, kills: Number(values.rounds), random: Math.random });
  console.log("| kills | messages taken | answer lost | arrived | lost | doubled |");
  console.log("|---:|---:|---:|---:|---:|---:|");
  const { kills, taken, unanswered, arrived, lost, doubled } = result;
  console.log(`| ${kills} | ${taken} | ${unanswered} | ${arrived} | ${lost.length} | ${doubled.length} |`);
  if (lost.length + doubled.length > 0) {
    console.log(`\nlost: ${lost.join(" ")}\ndoubled: ${doubled.join(" ")}`);
    process.exitCode = 1;
  }
}

if (currentNamespace() === undefined) {
  process.exitCode = await runWithRelays([process.execPath, import.meta.filename, ...process.argv.slice(2)]);
} else await measure();
