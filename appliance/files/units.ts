/**
 * The units of our own programs: configuration at boot, the services with their sockets, and the target
 * that stands for "this relay works". Put into the root file system by appliance/rootfs.ts.
 */
import { authListen, bootDirectory, dataPaths, ports, runPaths, users } from "../layout.ts";
import { certificateUnits } from "./certificates.ts";
import { configureService } from "./configure-unit.ts";
import { courierUnits } from "./courier-units.ts";
import { dkimUnits } from "./dkim-units.ts";
import { firewallService } from "./firewall-unit.ts";
import { metricsUnits } from "./metrics-units.ts";
import { probeUnits } from "./probe-units.ts";
import { reaperUnits } from "./reaper.ts";
import { type NodeSettings, serviceNode, serviceUnit, socketUnit, unixSocket } from "./service-unit.ts";
import { startOrderUnits } from "./start-order.ts";
import { statusService, statusTimer } from "./status.ts";
import { turnUnits } from "./turn.ts";
import { wifiUnits } from "./wifi.ts";

/** Every service that must be active before a relay may call itself ready. */
export const relayUnits = [
  "homing-configure.service",
  "nftables.service",
  "homing-firewall.service",
  "homing-auth.service",
  "homing-milter.service",
  "homing-web.service",
  "homing-courier.service",
  "homing-mux.service",
  "dovecot.service",
  "postfix.service",
] as const;

const secretDirectories = [bootDirectory, dataPaths.relay, dataPaths.tls, dataPaths.ssh] as const;

/**
 * What the milter holds lives as long as a message. Left to themselves, V8 and the C library let what is done with
 * pile up to twice the memory, at no gain in time (test/bench/filter.ts). So what is as large as one read from a socket
 * goes back to the system at once (mallopt(3)).
 */
export const milterNode: NodeSettings = {
  ...serviceNode,
  environment: { ...serviceNode.environment, MALLOC_MMAP_THRESHOLD_: "65536" },
};

/** Unit file text by unit name. */
export function homingUnits(): Record<string, string> {
  return {
    "homing-configure.service": configureService,
    "homing-firewall.service": firewallService,
    "homing-auth.socket": socketUnit(
      "auth",
      "Account service",
      `ListenStream=${authListen.host}:${authListen.port}`,
    ),
    "homing-recipients.socket": socketUnit(
      "recipients",
      "Account service (recipients)",
      `${unixSocket(runPaths.recipientSocket, "postfix")}\nService=homing-auth.service`,
    ),
    "homing-sign-up.socket": socketUnit(
      "sign-up",
      "Account service (sign-up)",
      `${unixSocket(runPaths.signUpSocket, users.web.name)}\nService=homing-auth.service`,
    ),
    "homing-auth-reaper.socket": socketUnit(
      "reaper",
      "Account service (reaper)",
      `${unixSocket(runPaths.reaperSocket, users.reaper.name)}\nService=homing-auth.service`,
    ),
    // Whoever reaches this one decides who gets an account: root alone.
    "homing-control.socket": socketUnit(
      "control",
      "Account service (control)",
      `ListenStream=${runPaths.controlSocket}\nSocketMode=0600\nService=homing-auth.service`,
    ),
    "homing-auth.service": serviceUnit("auth", "Account service", users.auth.name, {
      sockets: [
        "homing-auth.socket",
        "homing-recipients.socket",
        "homing-sign-up.socket",
        "homing-control.socket",
        "homing-auth-reaper.socket",
        "homing-canary.socket",
      ],
      network: "none",
      write: [dataPaths.accounts, runPaths.metrics],
      // Free memory and load decide on new accounts.
      allOfProc: true,
      turn: "login",
      hide: secretDirectories,
    }),
    ...courierUnits(secretDirectories),
    "homing-milter.socket": socketUnit("milter", "Mail policy", unixSocket(runPaths.milterSocket, "postfix")),
    "homing-milter.service": serviceUnit("milter", "Mail policy", users.milter.name, {
      turn: "mail",
      // DKIM keys of others come from the DNS, by way of the local resolver.
      network: "loopback",
      write: [runPaths.milterState, runPaths.metrics],
      node: milterNode,
      hide: [...secretDirectories, dataPaths.accounts, dataPaths.mail],
    }),
    "homing-http.socket": socketUnit(
      "http",
      "Web service, port 80",
      `ListenStream=${ports.http}\nService=homing-web.service`,
    ),
    "homing-web.socket": socketUnit("web", "Web service", unixSocket(runPaths.webSocket, users.mux.name)),
    "homing-web.service": serviceUnit("web", "Web service", users.web.name, {
      sockets: ["homing-http.socket", "homing-web.socket"],
      // Mail that comes by HTTPS goes on to Postfix.
      network: "loopback",
      write: [runPaths.webState, runPaths.metrics],
      credentials: { "tls-key": runPaths.tlsKey },
      hide: [
        ...secretDirectories.filter((path) => path !== dataPaths.tls),
        dataPaths.accounts,
        dataPaths.mail,
        dataPaths.metadata,
      ],
    }),
    "homing-mux.socket": socketUnit(
      "mux",
      "Port 443",
      // Clients of all kinds at once, who come back together when a network does.
      `ListenStream=${ports.https}\nBacklog=4096`,
    ),
    "homing-mux.service": serviceUnit("mux", "Port 443", users.mux.name, {
      network: "loopback",
      write: [runPaths.metrics],
      openFiles: 40_000,
      hide: [...secretDirectories, dataPaths.accounts, dataPaths.mail, dataPaths.metadata],
    }),
    ...dkimUnits(secretDirectories),
    ...certificateUnits(secretDirectories),
    ...probeUnits(secretDirectories),
    ...reaperUnits(secretDirectories),
    ...metricsUnits(secretDirectories),
    ...turnUnits([...secretDirectories, dataPaths.accounts, dataPaths.mail, dataPaths.metadata]),
    ...wifiUnits(secretDirectories),
    ...startOrderUnits(),
    "homing.target": homingTarget,
    "homing-status.service": statusService(secretDirectories),
    "homing-status.timer": statusTimer,
  };
}

const homingTarget = `[Unit]
Description=Chatmail relay
Wants=${relayUnits.join(" ")} systemd-networkd.service systemd-resolved.service
After=${relayUnits.join(" ")} systemd-networkd.service systemd-resolved.service

[Install]
WantedBy=multi-user.target
`;
