/**
 * What a client of a relay waits more on port 443 than on 993, and the memory of our services. Run as root:
 * `node test/bench/mux-relay.ts`. Prints Markdown tables; takes a minute.
 */
import { loadavg } from "node:os";
import { makeAccount } from "../support/accounts.ts";
import { openImap } from "../support/imap-session.ts";
import { currentNamespace } from "../support/namespace.ts";
import { createTestNetwork } from "../support/network.ts";
import type { Relay } from "../support/relay.ts";
import { runWithRelays } from "../support/rootfs.ts";
import { median } from "./tables.ts";

const ports = [993, 443] as const;
/** Connections and commands on each port, in turns. */
const CONNECTIONS = 60;
const COMMANDS = 1000;

async function measure(): Promise<void> {
  await using network = await createTestNetwork("mux");
  const relay = await network.startRelay("_a.test");
  console.log(`\nLoad average of this machine: ${loadavg()[0]!.toFixed(1)}\n`);
  const [greetings, commands] = [await timeGreetings(relay), await timeCommands(relay)];
  console.log("| port | to the greeting, ms | a command, µs |\n|---|---:|---:|");
  for (const [i, port] of ports.entries()) {
    console.log(
      `| ${port} | ${median(greetings[i]!).toFixed(1)} | ${(median(commands[i]!) * 1000).toFixed(0)} |`,
    );
  }
  console.log("\n| service | memory (PSS), MB |\n|---|---:|");
  for (const name of ["auth", "milter", "metadata", "web", "mux"]) {
    const pid = (await relay.exec(`systemctl show --property=MainPID --value homing-${name}`)).stdout.trim();
    const pss = await relay.exec(`sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/${pid}/smaps_rollup`);
    console.log(`| ${name} | ${((Number(pss.stdout) * 1024) / 1e6).toFixed(1)} |`);
  }
}

/** From the call to the greeting, TLS included. Milliseconds, by port. */
async function timeGreetings(relay: Relay): Promise<number[][]> {
  const times: number[][] = ports.map(() => []);
  for (let round = 0; round < CONNECTIONS; round++) {
    for (const [i, port] of ports.entries()) {
      const started = performance.now();
      await using _session = await openImap(relay.address, port);
      times[i]!.push(performance.now() - started);
    }
  }
  return times;
}

/** NOOP of a session that is logged in. Milliseconds, by port. */
async function timeCommands(relay: Relay): Promise<number[][]> {
  const { address, password } = await makeAccount(relay);
  await using direct = await openImap(relay.address, ports[0]);
  await using through = await openImap(relay.address, ports[1]);
  const times: number[][] = ports.map(() => []);
  for (const session of [direct, through]) await session.command(`LOGIN ${address} ${password}`);
  for (let round = 0; round < COMMANDS; round++) {
    for (const [i, session] of [direct, through].entries()) {
      const started = performance.now();
      await session.command("NOOP");
      times[i]!.push(performance.now() - started);
    }
  }
  return times;
}

if (currentNamespace() === undefined)
  process.exitCode = await runWithRelays([process.execPath, import.meta.filename]);
else await measure();
