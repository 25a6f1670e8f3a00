/**
 * What makes a Debian root file system a relay: users, units, fixed configuration, programs. Data for
 * image/rootfs (image/spec.ts); the same for all relays. What depends on relay.toml is written at boot by
 * appliance/life/boot.ts. Reads the project's folder `web`.
 */
import type { RootfsSpec, SpecFile, SpecLink } from "../image/spec.ts";
import { mostConnectionsOfSource } from "./files/capacity.ts";
import { certificateDueScript, certificateLoadScript } from "./files/certificates.ts";
import { bootPartitionScript } from "./files/configure-unit.ts";
import { dropIns, maskedGenerators, maskedUnits } from "./files/debian-units.ts";
import { dovecotAuthLua, dovecotAuthLuaPath } from "./files/dovecot-auth-lua.ts";
import { queueFiguresScript, storeFiguresScript } from "./files/metrics-figures.ts";
import { nftablesConf } from "./files/nftables.ts";
import { fullNoteScript, reaperDueScript } from "./files/reaper.ts";
import { sshdConfig } from "./files/ssh.ts";
import { awaitLoginScript, loginUnit, readAheadUnit } from "./files/start-order.ts";
import { statusScripts } from "./files/status.ts";
import { systemFiles } from "./files/system.ts";
import { turnAddressesScript, turnLookScript, turnStartScript } from "./files/turn.ts";
import { homingUnits, relayUnits } from "./files/units.ts";
import {
  DATA_VERSION,
  dataPaths,
  knownDataVersionPath,
  nodeBinary,
  programDirectory,
  users,
} from "./layout.ts";
import { readWebDefaults } from "./web-defaults.ts";

const unitDirectory = "/usr/lib/systemd/system";

/** The specification of the root file system, for both architectures. */
export function rootfsSpec(): RootfsSpec {
  return {
    users: [
      { ...users.vmail, home: dataPaths.mail },
      users.auth,
      users.milter,
      users.dovecotAuth,
      users.dkim,
      users.web,
      users.certificates,
      users.mux,
      users.courier,
      users.probe,
      users.metrics,
      users.reaper,
      users.turn,
    ],
    files: [
      ...named(systemFiles()),
      ...named(homingUnits(), (unit) => `${unitDirectory}/${unit}`),
      ...named(dropIns(), (unit) => `${unitDirectory}/${unit}.d/homing.conf`),
      bootPartitionScript,
      awaitLoginScript,
      {
        path: "/usr/bin/homing-ctl",
        mode: 0o755,
        content: `#!/bin/sh\n# The operator's command; see appliance/ctl/main.ts.\nexec ${nodeBinary} ${programDirectory}/ctl.mjs "$@"\n`,
      },
      ...statusScripts(relayUnits),
      certificateDueScript,
      certificateLoadScript,
      fullNoteScript,
      reaperDueScript,
      queueFiguresScript,
      storeFiguresScript,
      turnAddressesScript,
      turnStartScript,
      turnLookScript,
      { path: knownDataVersionPath, content: `${DATA_VERSION}\n` },
      ...readWebDefaults(),
      { path: dovecotAuthLuaPath, content: dovecotAuthLua },
      // The closed rule set, until the settings are known.
      {
        path: "/etc/nftables.conf",
        content: nftablesConf({ ssh: false, metrics: false, connections: mostConnectionsOfSource }),
      },
      { path: "/etc/ssh/sshd_config", content: sshdConfig },
    ],
    links: maskedGenerators.map(
      (name): SpecLink => ({ path: `/etc/systemd/system-generators/${name}`, target: "/dev/null" }),
    ),
    bundles: [
      { name: "boot", entry: "appliance/life/boot.ts" },
      { name: "status", entry: "appliance/life/status.ts" },
      { name: "auth", entry: "services/auth/main.ts" },
      { name: "auth-writer", entry: "services/auth/store-writer.ts" },
      { name: "milter", entry: "services/milter/main.ts" },
      { name: "web", entry: "services/web/main.ts" },
      { name: "courier", entry: "services/courier.ts" },
      { name: "mux", entry: "services/mux/main.ts" },
      { name: "dkim", entry: "services/dkim/main.ts" },
      { name: "metrics", entry: "services/metrics/main.ts" },
      { name: "ctl", entry: "appliance/ctl/main.ts" },
      { name: "certificates", entry: "services/certificates/main.ts" },
      { name: "probe", entry: "services/probe/main.ts" },
      { name: "reaper", entry: "services/reaper/main.ts" },
    ],
    enable: [
      "homing.target",
      loginUnit,
      readAheadUnit,
      "homing-status.service",
      "homing-status.timer",
      "homing-radio.service",
      "homing-auth.socket",
      "homing-recipients.socket",
      "homing-sign-up.socket",
      "homing-control.socket",
      "homing-auth-reaper.socket",
      "homing-metadata.socket",
      "homing-news.socket",
      "homing-milter.socket",
      "homing-http.socket",
      "homing-web.socket",
      "homing-transport.socket",
      "homing-transport-first.socket",
      "homing-transport-again.socket",
      "homing-transport-first-again.socket",
      "homing-transport-fallback.socket",
      "homing-mux.socket",
      "homing-door.socket",
      "homing-metrics.socket",
      "homing-metrics-network.socket",
      "homing-queue-figures.timer",
      "homing-store-figures.timer",
      "homing-turn.service",
      "homing-turn-look.timer",
      "homing-dkim.timer",
      "homing-certificates.timer",
      "homing-certificate-load.path",
      "homing-canary.socket",
      "homing-probe.timer",
      "homing-reaper.timer",
      "homing-reaper-full.path",
      "nftables.service",
      "systemd-networkd.service",
      "systemd-resolved.service",
      "systemd-timesyncd.service",
      "ssh.service",
    ],
    mask: maskedUnits,
  };
}

function named(texts: Record<string, string>, path = (name: string) => name): SpecFile[] {
  return Object.entries(texts).map(([name, content]) => ({ path: path(name), content }));
}
