/**
 * Which services start first while the machine does: those that a login needs, settings and network among them, for it is
 * what somebody waits for who has just switched the relay on. What the first letter needs follows once a login can be
 * answered, then the others, each at a smaller share of the processors while anybody else wants them; the sockets of our
 * services are there from the beginning, so that whoever comes early waits; only Postfix' ports refuse until it runs. The
 * shares are those of the start alone (systemd.resource-control(5)); afterwards all are alike. Used by the texts of units
 * in this folder.
 */
import { nodeBinary, programDirectory } from "../layout.ts";
import { sandboxLines } from "./sandbox.ts";

/** For the After= of what starts later: it ends when people can log in, or after a while when they cannot. */
export const loginUnit = "homing-login.service";

/** Reads ahead while other things start. */
export const readAheadUnit = "homing-read-ahead.service";

/** Lines for a [Service] section. A unit without one has 100. */
export const startsFirst = "StartupCPUWeight=500";
export const startsNext = "StartupCPUWeight=100";
export const startsLater = "StartupCPUWeight=20";

/** What of the relay needs a service first: a login, then the first letter, then everything else. */
export type StartTurn = "login" | "mail" | "rest";

/** What goes before it (for After=), and its share of the processors. */
export const startTurns: Readonly<Record<StartTurn, Readonly<{ after: readonly string[]; share: string }>>> =
  {
    login: { after: [], share: startsFirst },
    mail: { after: [loginUnit], share: startsNext },
    // Postfix is up when its master is; what it starts for the first letter has the larger share.
    rest: { after: [loginUnit, "postfix.service"], share: startsLater },
  };

/** EX_NOUSER (sysexits.h): what doveadm-user(1) ends with once all that a login asks has answered. */
const NO_SUCH_USER = 67;

/** Seconds after which the rest starts all the same: a relay on which nobody can log in still takes mail. */
const LONGEST_WAIT = 60;

export const awaitLoginScript = {
  path: `${programDirectory}/await-login`,
  mode: 0o755,
  content: `#!/bin/sh
# await-login: ends when Dovecot can tell that there is no account of that name. Called by ${loginUnit}.
until
  doveadm user -u nobody >/dev/null 2>&1
  [ $? -eq ${NO_SUCH_USER} ]
do
  sleep 0.5
done
`,
} as const;

/** Unit file text by unit name. */
export function startOrderUnits(): Record<string, string> {
  return { [loginUnit]: loginService, [readAheadUnit]: readAheadService };
}

/*
 * Dovecot is ready when it listens; until somebody can log in, its processes for that have yet to start. The question goes
 * the way of a login, from Dovecot's auth by Lua to the account service, and what answers it stays for the first login.
 */
const loginService = `[Unit]
Description=Wait until people can log in
After=homing-auth.service dovecot.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/usr/bin/timeout ${LONGEST_WAIT} ${awaitLoginScript.path}
SyslogIdentifier=%N
${startsFirst}
${sandboxLines({ network: "none", capabilities: ["CAP_DAC_OVERRIDE"], privateUsers: false })}

[Install]
WantedBy=homing.target
`;

/**
 * What a start of Node uses lies in the first two thirds of its file, but for a few pages; behind that are the tables of
 * all languages (ICU), 30 MB that nothing here asks for. In bytes.
 */
const READ_AHEAD_BYTES = 72 << 20;

/*
 * Unpacking what Node needs takes a processor some seconds, and reading it takes a card as many; until the data partition
 * is there, both have moments to spare. What has not been read by then is read as Node comes to it.
 */
const readAheadService = `[Unit]
Description=Read the runtime of the relay's programs ahead
DefaultDependencies=no

[Service]
Type=exec
ExecStart=/usr/bin/head --quiet --bytes=${READ_AHEAD_BYTES} ${programDirectory}/boot.mjs ${nodeBinary}
StandardOutput=null
SyslogIdentifier=%N
${startsLater}
${sandboxLines({ network: "none" })}
# Another PrivateTmp= would have it wait for the directories that systemd-tmpfiles makes.
PrivateTmp=disconnected

[Install]
WantedBy=sysinit.target
`;
