/**
 * All files that depend on the relay's settings, as a list. Written at every boot by appliance/life/configure.ts
 * before any service that reads them starts.
 */
import { runPaths } from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";
import { connectionsOfSource, type Machine } from "./capacity.ts";
import { type DeviceFile, publicFile } from "./device-file.ts";
import { dovecotConf } from "./dovecot.ts";
import { nftablesConf } from "./nftables.ts";
import { postfixMainCf } from "./postfix-main.ts";
import { postfixMasterCf } from "./postfix-master.ts";
import { authorizedKeys, authorizedKeysPath } from "./ssh.ts";
import { roomFile } from "./status.ts";

/** The files for these settings on this machine. None of them holds a secret. */
export function deviceFiles(config: RelayConfig, machine: Machine): DeviceFile[] {
  const keys = authorizedKeys(config);
  return [
    publicFile(runPaths.relayConfig, `${JSON.stringify(config, undefined, 2)}\n`),
    publicFile(runPaths.room, roomFile(config)),
    publicFile("/etc/mailname", `${config.domain}\n`),
    publicFile("/etc/postfix/main.cf", postfixMainCf(config)),
    publicFile("/etc/postfix/master.cf", postfixMasterCf(config)),
    publicFile("/etc/dovecot/dovecot.conf", dovecotConf(config, machine)),
    publicFile(
      "/etc/nftables.conf",
      nftablesConf({
        ssh: keys !== undefined,
        metrics: config.metrics.network,
        connections: connectionsOfSource(machine),
        turn: config.turn.enabled ? config.turn : undefined,
      }),
    ),
    ...(config.metrics.network ? [publicFile(runPaths.metricsNetwork, "")] : []),
    ...(keys === undefined
      ? []
      : [{ path: authorizedKeysPath, content: keys, mode: 0o600, owner: "root", group: "root" }]),
  ];
}
