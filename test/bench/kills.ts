/**
 * Whether mail between two relays is lost or doubled when a program of either side is killed in the middle of it: Postfix,
 * Dovecot and each service of ours. With --plain the other side is a plain mail server, and only the relay's programs are
 * killed. Run as root: `node installer/launch.mjs --script test/bench/kills.ts [--rounds 100] [--together 1] [--seed N]
 * [--only PATTERN] [--plain]`. Prints Markdown tables and fails when a message was lost or doubled; a round
 * takes two to three seconds. Which program and when can be had again by the seed; what the programs do meanwhile cannot.
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { countThroughKills } from "../support/kills.ts";
import { currentNamespace } from "../support/namespace.ts";
import { addClientAddresses, createTestNetwork } from "../support/network.ts";
import { startPlainMailServer } from "../support/plain-mail-server.ts";
import { randomFrom } from "../support/random.ts";
import { runWithRelays } from "../support/rootfs.ts";

const settings = { sending: { perMinute: 100_000, burst: 10_000 } };

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "100" },
      together: { type: "string", default: "1" },
      seed: { type: "string", default: `${Date.now() % 2 ** 32}` },
      only: { type: "string", default: "" },
      plain: { type: "boolean", default: false },
    },
  });
  await using network = await createTestNetwork("kills");
  const from = await network.startRelay("_a.test", { settings });
  await using stack = new AsyncDisposableStack();
  const openPlain = async () => {
    const [address] = await addClientAddresses(1);
    const domain = "_p.test";
    const options = { network, domain, address: address!, mailboxes: ["friend"] };
    return { server: stack.use(await startPlainMailServer(options)), name: "friend", domain };
  };
  const to = values.plain ? await openPlain() : await network.startRelay("_b.test", { settings });
  const result = await countThroughKills({
    from,
    to,
    kills: Number(values.rounds),
    together: Number(values.together),
    random: randomFrom(Number(values.seed)),
    only: new RegExp(values.only),
  });
  console.log(`seed ${values.seed}, load average ${loadavg()[0]!.toFixed(1)}\n`);
  console.log("| kills | messages taken | offered again | arrived | stopped at the door | lost | doubled |");
  console.log("|---:|---:|---:|---:|---:|---:|---:|");
  const { kills, taken, offeredAgain, arrived, stopped, lost, doubled } = result;
  console.log(
    `| ${kills} | ${taken} | ${offeredAgain} | ${arrived} | ${stopped} | ${lost.length} | ${doubled.length} |`,
  );
  console.log("\n| killed | times |\n|---|---:|");
  for (const [name, times] of [...result.killed].sort()) console.log(`| ${name} | ${times} |`);
  if (lost.length + doubled.length > 0) {
    console.log(`\nlost: ${lost.join(" ")}\ndoubled: ${doubled.join(" ")}`);
    process.exitCode = 1;
  }
}

if (currentNamespace() === undefined) {
  process.exitCode = await runWithRelays([process.execPath, import.meta.filename, ...process.argv.slice(2)]);
} else await measure();
