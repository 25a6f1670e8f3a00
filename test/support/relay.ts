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
