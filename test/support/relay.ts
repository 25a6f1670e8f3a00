/**
 * One relay of the test network as tests see it: its address, commands run on it, its log, its restart.
 * Made by `network.startRelay` (network.ts) out of a container.
 */
import { connect } from "node:net";
import { join } from "node:path";
import { ports } from "../../appliance/layout.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { Container } from "./container.ts";
import { waitFor } from "./wait.ts";

export type Relay = Omit<Container, "stop"> &
  Readonly<{
    domain: string;
    /** IPv4 address, as DHCP gave it. */
    address: string;
    config: RelayConfig;
    /** Folders of the host that are the relay's /data and /boot. */
    dataFolder: string;
    bootFolder: string;
    /** The log of this boot, one line an entry; with a unit's name only that unit's. */
    journal: (unit?: string) => Promise<string>;
    /** Entries of this boot's log whose text matches, oldest first. */
    logEntries: (pattern: RegExp) => Promise<LogEntry[]>;
  }>;

export type LogEntry = Readonly<{
  /** When the program said it, in milliseconds since 1970. */
  time: number;
  /** Name of the program. */
  source: string;
  message: string;
}>;

export type RelayParts = Readonly<{
  domain: string;
  address: string;
  home: string;
  container: Container;
  config: RelayConfig;
}>;

/** From all units up to all ports reachable from the network: DHCP and the firewall are in between. */
const SERVING_TIMEOUT = 30_000;

/** Waits until the relay serves on all its ports. */
export async function waitForRelay(parts: RelayParts): Promise<Relay> {
  const { domain, address, home, container } = parts;
  const relay: Relay = {
    ...container,
    domain,
    address,
    config: parts.config,
    dataFolder: join(home, "data"),
    bootFolder: join(home, "boot"),
    journal: async (unit) => {
      const selection = unit === undefined ? [] : ["--unit", unit];
      const command = ["journalctl", "--no-pager", "--boot", "--output", "short-iso-precise", ...selection];
      return (await container.exec(command)).stdout;
    },
    logEntries: async (pattern) => {
      const output = await container.exec(["journalctl", "--boot", "--output", "json"]);
      return output.stdout.split("\n").flatMap((line) => readEntry(line, pattern));
    },
    restart: async () => {
      await container.restart();
      await waitUntilServing(relay);
    },
    powerCut: async () => {
      await container.powerCut();
      await waitUntilServing(relay);
    },
  };
  await waitUntilServing(relay);
  return relay;
}

/** An entry of journalctl's JSON output (fields: systemd.journal-fields(7)), when its text matches. */
function readEntry(line: string, pattern: RegExp): LogEntry[] {
  if (line === "") return [];
  const fields = JSON.parse(line) as Record<string, unknown>;
  const message = fields.MESSAGE;
  if (typeof message !== "string" || !pattern.test(message)) return [];
  const time = Number(fields._SOURCE_REALTIME_TIMESTAMP ?? fields.__REALTIME_TIMESTAMP) / 1000;
  return [{ time, source: String(fields.SYSLOG_IDENTIFIER), message }];
}

async function waitUntilServing(relay: Relay): Promise<void> {
  for (const port of Object.values(ports)) {
    await waitFor(`${relay.domain} answers on port ${port}`, SERVING_TIMEOUT, () =>
      canConnect(relay.address, port),
    );
  }
}

/** Whether a TCP connection to the port is taken within a second. */
export function canConnect(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const end = (connected: boolean) => {
      socket.destroy();
      resolve(connected);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(false));
    socket.once("error", () => end(false));
  });
}
