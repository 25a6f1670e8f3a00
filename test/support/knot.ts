/**
 * A real name server that takes changes (RFC 2136) signed by TSIG: Debian's Knot with one zone on the loopback address.
 * Used by the tests of appliance/dns and services/certificates.
 */
import { spawnSync } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { NameLookups, Resolvers } from "../../appliance/dns/published.ts";
import { startTied, waitForExit } from "./commands.ts";
import { startAtFreePort } from "./free-port.ts";

export type Knot = AsyncDisposable &
  Readonly<{
    port: number;
    /** ADDRESS:PORT. */
    server: string;
    /** Asks this server, whoever is meant. */
    resolvers: Resolvers;
    lookups: NameLookups;
  }>;

export type KnotKey = Readonly<{ name: string; algorithm: string; secret: string }>;

const STOP_TIMEOUT = 20_000;

/** Why there is no Knot; undefined when there is. For `describe.skipIf`. */
export const missingKnot =
  spawnSync("/usr/sbin/knotd", ["--version"]).error === undefined ? undefined : "needs knot";

/**
 * `records` are lines of a zone file, below the SOA and NS records of the zone. All `keys` may change the zone, `readers`
 * only see it. It serves at port 53 of `publicAddress`, if there is one, so that others find it.
 */
export async function startKnot(
  folder: string,
  zone: string,
  records: readonly string[],
  keys: readonly KnotKey[],
  { readers = [], publicAddress }: Readonly<{ readers?: readonly KnotKey[]; publicAddress?: string }> = {},
): Promise<Knot> {
  const address = publicAddress ?? "127.0.0.1";
  const home = join(folder, "knot");
  await mkdir(home, { recursive: true });
  await writeFile(
    join(home, "zone"),
    [
      `${zone}. 60 SOA ns.${zone}. nobody.${zone}. 1 60 60 600 1`,
      `${zone}. 60 NS ns.${zone}.`,
      `ns.${zone}. 60 A ${address}`,
      ...records,
      "",
    ].join("\n"),
  );
  const keyLines = [...keys, ...readers].map(
    ({ name, algorithm, secret }) => `  - id: ${name}\n    algorithm: ${algorithm}\n    secret: ${secret}`,
  );
  const configuration = (port: number) => `server:
  listen: ${address}@${port}
  rundir: ${home}
log:
  - target: stderr
    any: info
database:
  storage: ${home}
key:
${keyLines.join("\n")}
acl:
  - id: changes
    key: [${keys.map(({ name }) => name).join(", ")}]
    action: [update, transfer]
${readers.map(({ name }) => `  - id: ${name}-reads\n    key: ${name}\n    action: [transfer]\n`).join("")}zone:
  - domain: ${zone}
    file: ${join(home, "zone")}
    zonefile-sync: -1
    acl: [${["changes", ...readers.map(({ name }) => `${name}-reads`)].join(", ")}]
`;
  const file = join(home, "knot.conf");
  const lookups = new Resolver({ timeout: 2000, tries: 2 });
  let port = 0;
  const { process: program } = await startAtFreePort(
    "knot",
    join(home, "log"),
    async (freePort) => {
      port = publicAddress === undefined ? freePort : 53;
      await writeFile(file, configuration(port));
      lookups.setServers([`${address}:${port}`]);
      return startTied(["/usr/sbin/knotd", "-c", file], join(home, "log"));
    },
    async () => (await lookups.resolveNs(zone)).length > 0,
  );
  return {
    port,
    server: `${address}:${port}`,
    resolvers: { system: lookups, at: () => lookups },
    lookups,
    [Symbol.asyncDispose]: async () => {
      const ending = waitForExit(program, "knotd", STOP_TIMEOUT);
      program.kill("SIGKILL");
      await ending;
    },
  };
}
