/**
 * Run by homing-ready.service once all units had their turn: says on the console that the relay is ready,
 * with its name and addresses, or which unit is not running. The text "homing: ready" is what people and
 * tests wait for.
 */
import { execFile } from "node:child_process";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { promisify } from "node:util";
import { relayUnits } from "../files/units.ts";
import { HOMING_VERSION, runPaths } from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";
import { readIfPresent } from "./disk.ts";

type UnitState = Readonly<{ unit: string; state: string }>;

/**
 * The lines for the console. `domain` is missing when the settings could not be read, `importProblem` unless a relay
 * folder on the boot partition was not taken over.
 */
export function readyLines(
  domain: string | undefined,
  units: readonly UnitState[],
  addresses: readonly string[],
  importProblem?: string,
): string[] {
  const missing = units.filter(({ state }) => state !== "active");
  if (missing.length > 0 || domain === undefined) {
    return ["homing: NOT READY", ...missing.map(({ unit, state }) => `homing: ${unit} is ${state}`)];
  }
  return [
    `homing: ready, relay ${domain}, version ${HOMING_VERSION}`,
    addresses.length > 0
      ? `homing: addresses ${addresses.join(", ")}`
      : "homing: no address yet; is the network cable plugged in?",
    ...(importProblem === undefined
      ? []
      : importProblem
          .trim()
          .split("\n")
          .map((line) => `homing: ${line}`)),
  ];
}

/** Addresses that others can reach, IPv4 first. */
export function reachableAddresses(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string[] {
  return Object.values(interfaces)
    .flatMap((list) => list ?? [])
    .filter((entry) => !entry.internal && !entry.address.startsWith("fe80:"))
    .sort((a, b) => a.family.localeCompare(b.family))
    .map((entry) => entry.address);
}

async function unitStates(): Promise<UnitState[]> {
  // Exit code 3 only says that one of them is not active.
  const { stdout } = await promisify(execFile)("systemctl", ["is-active", ...relayUnits]).catch(
    (error: { code?: unknown; stdout?: string }) => {
      if (typeof error.code === "number" && error.stdout) return { stdout: error.stdout };
      throw error;
    },
  );
  const states = stdout.trim().split("\n");
  return relayUnits.map((unit, index) => ({ unit, state: states[index] ?? "unknown" }));
}

async function readDomain(): Promise<string | undefined> {
  const settings = await readIfPresent(runPaths.relayConfig);
  return settings === undefined ? undefined : (JSON.parse(settings.toString()) as RelayConfig).domain;
}

if (import.meta.main) {
  const lines = readyLines(
    await readDomain(),
    await unitStates(),
    reachableAddresses(networkInterfaces()),
    (await readIfPresent(runPaths.importProblem))?.toString(),
  );
  for (const line of lines) console.log(line);
  if (lines[0] === "homing: NOT READY") process.exitCode = 1;
}
