/**
 * How to reach a relay that runs in QEMU on this computer: which of its ports are forwarded, and what to type.
 * Called by `./homing vm`; pure but for the random account name.
 */
import { randomBytes } from "node:crypto";
import { ports, sshPort } from "../../appliance/layout.ts";
import type { RelayConfig } from "../../appliance/relay-config.ts";
import type { SignUpMode } from "../../appliance/sign-up-modes.ts";
import { loginLink } from "../../appliance/test-login.ts";
import type { Forward } from "./machine.ts";

type WantedPort = Readonly<{ what: string; guestPort: number; wanted: number }>;

/** The first choice on this computer for each port of the relay: the relay's own, times ten, or what is usual. */
const relayPorts: readonly WantedPort[] = [
  { what: "SMTP from other relays", guestPort: ports.smtp, wanted: 2525 },
  { what: "SMTP submission over TLS", guestPort: ports.submissions, wanted: 4650 },
  { what: "SMTP submission, STARTTLS", guestPort: ports.submission, wanted: 5870 },
  { what: "IMAP, STARTTLS", guestPort: ports.imap, wanted: 1430 },
  { what: "IMAP over TLS", guestPort: ports.imaps, wanted: 9930 },
  { what: "web pages, IMAP and SMTP submission over TLS", guestPort: ports.https, wanted: 4430 },
  { what: "web without TLS, leads to the relay's own name", guestPort: ports.http, wanted: 8080 },
];

/** `config` is undefined for an image, whose settings only the relay itself knows. */
export function wantedPorts(config: RelayConfig | undefined): readonly WantedPort[] {
  if (config?.ssh.authorizedKeys.length === 0) return relayPorts;
  const what = config ? "SSH" : "SSH, if the relay has keys of administrators";
  return [...relayPorts, { what, guestPort: sshPort, wanted: 2222 }];
}

/** What to tell a person once the relay is ready. */
export function connectionHelp(
  config: RelayConfig | undefined,
  forwards: readonly (Forward & { what: string })[],
  signUp: SignUpMode = config?.signUp.mode ?? "open",
): string {
  const forwardOf = (guestPort: number) => forwards.find((one) => one.guestPort === guestPort);
  const isOpen = signUp === "open";
  const name = isOpen ? randomBytes(8).toString("hex").slice(0, 9) : "NAME";
  const password = isOpen ? randomBytes(15).toString("base64url") : "PASSWORD";
  const link = loginLink(`${name}@${config?.domain ?? "DOMAIN"}`, password, {
    host: "127.0.0.1",
    imapsPort: forwardOf(ports.imaps)!.hostPort,
    submissionsPort: forwardOf(ports.submissions)!.hostPort,
  });
  const sshForward = forwardOf(sshPort);
  // Every image has a host key of its own, while the address stays: ssh would warn of each new one.
  const ssh = sshForward && [
    "To log in as an administrator:",
    `  ssh -p ${sshForward.hostPort} -o NoHostAuthenticationForLocalhost=yes root@127.0.0.1`,
    "",
  ];
  return [
    "",
    "The relay is up. Its ports on this computer:",
    ...forwards.map(
      ({ what, guestPort, hostPort: port }) =>
        `  127.0.0.1:${String(port).padEnd(6)} → ${guestPort}  ${what}`,
    ),
    "",
    "To see its web pages on this computer, open:",
    `  https://127.0.0.1:${forwardOf(ports.https)!.hostPort}/`,
    "The browser warns of the certificate, which nobody can have for this address: go on all the same.",
    "",
    "To try it with Delta Chat on this computer, choose “I Already Have a Profile” → “Scan Invite Code” → paste:",
    `  ${link}`,
    ...(isOpen
      ? ["Each name of 9 letters or digits that is not taken becomes an account at its first login."]
      : closedHelp(signUp, sshForward !== undefined)),
    "",
    ...(ssh ?? []),
    "Ctrl-C shuts the relay down.",
    "",
  ].join("\n");
}

function closedHelp(signUp: Exclude<SignUpMode, "open">, hasSsh: boolean): string[] {
  const how = signUp === "closed" ? "closed" : "by invitation, and those lead to the relay's own name";
  return [
    `with NAME and PASSWORD of an account that is there. Sign-up is ${how}.`,
    "To let everybody in who logs in with a new name:",
    ...(hasSsh ? ["  as an administrator, see below, type homing-ctl sign-up open; or"] : []),
    '  set mode = "open" below [sign_up] in relay.toml, and start this with --fresh.',
  ];
}
