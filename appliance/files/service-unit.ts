/** The text of units for our own services and their sockets (systemd.service(5), systemd.socket(5)). Called by units.ts. */
import { nodeBinary, programDirectory } from "../layout.ts";
import { neverGiveUp, restartLines, sandboxLines } from "./sandbox.ts";
import { type StartTurn, startTurns } from "./start-order.ts";

/** How Node is started for a service. */
export type NodeSettings = Readonly<{
  flags: readonly string[];
  environment: Readonly<Record<string, string>>;
}>;

/**
 * What a service holds is small and short-lived, whatever it does. So: 1 MiB for each half of V8's space for young objects
 * (as long as it does not need more, a megabyte or two less than V8 takes by itself), one helper thread, two arenas of
 * the C library (mallopt(3)), and the right to collect garbage when there is time (services/lib/memory.ts).
 */
export const serviceNode: NodeSettings = {
  flags: ["--max-semi-space-size=1", "--v8-pool-size=1", "--expose-gc"],
  environment: { MALLOC_ARENA_MAX: "2" },
};

export function unixSocket(path: string, group: string): string {
  return `ListenStream=${path}\nSocketGroup=${group}\nSocketMode=0660`;
}

export function socketUnit(name: string, title: string, listen: string): string {
  return `[Unit]
Description=${title} (socket)

[Socket]
Backlog=512
${listen}
FileDescriptorName=${name}

[Install]
WantedBy=homing.target
`;
}

export function serviceUnit(
  name: string,
  title: string,
  user: string,
  {
    sockets = [`homing-${name}.socket`],
    node = serviceNode,
    credentials = {},
    openFiles = 16_384,
    turn = "rest",
    ...permissions
  }: Parameters<typeof sandboxLines>[0] & {
    sockets?: readonly string[];
    node?: NodeSettings;
    /** Files of root that it gets a copy of, by the name in $CREDENTIALS_DIRECTORY (systemd.exec(5)). */
    credentials?: Readonly<Record<string, string>>;
    openFiles?: number;
    /** When the machine starts (start-order.ts). */
    turn?: StartTurn;
  },
): string {
  const { after, share } = startTurns[turn];
  return `[Unit]
Description=${title}
Requires=homing-configure.service ${sockets.join(" ")}
After=${["homing-configure.service", ...sockets, ...after].join(" ")}
${neverGiveUp}

[Service]
Type=exec
User=${user}
Sockets=${sockets.join(" ")}
SyslogIdentifier=%N
${environmentLines(node.environment)}${credentialLines(credentials)}ExecStart=${[nodeBinary, ...node.flags].join(" ")} ${programDirectory}/${name}.mjs
${restartLines}
${share}
LimitNOFILE=${openFiles}
${sandboxLines({ rank: turn === "login" ? "login" : "service", ...permissions })}
`;
}

function environmentLines(environment: NodeSettings["environment"]): string {
  return Object.entries(environment)
    .map(([name, value]) => `Environment=${name}=${value}\n`)
    .join("");
}

function credentialLines(credentials: Readonly<Record<string, string>>): string {
  return Object.entries(credentials)
    .map(([name, path]) => `LoadCredential=${name}:${path}\n`)
    .join("");
}
