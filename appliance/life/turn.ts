/**
 * Writes what the TURN server and who gives out its credentials need, in memory, or nothing, and then it does not run.
 * Called by configure.ts at every boot.
 */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { turnConf } from "../files/turn.ts";
import { runPaths, users } from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";
import { type Disk, readIfPresent } from "./disk.ts";
import type { Owners } from "./owners.ts";

type Device = Readonly<{ at(path: string): string; disk: Disk; owners: Owners }>;

export async function writeTurn({ at, disk, owners }: Device, config: RelayConfig): Promise<void> {
  if (!config.turn.enabled) {
    await rm(at(dirname(runPaths.turnConf)), { recursive: true, force: true });
    return;
  }
  await disk.makeDirectory(at(dirname(runPaths.turnConf)), { mode: 0o755 });
  // One secret per boot: when this runs again, the services still hold the old one.
  const secret =
    (await readIfPresent(at(runPaths.turnSecret)))?.toString() ?? randomBytes(32).toString("hex");
  const readableBy = (group: string) => ({ mode: 0o440, uid: owners.uid("root"), gid: owners.gid(group) });
  await disk.put(at(runPaths.turnSecret), secret, readableBy(users.courier.name));
  await disk.put(at(runPaths.turnDomain), `${config.domain}\n`, { mode: 0o444 });
  await disk.put(at(runPaths.turnConf), turnConf(config, secret), readableBy(users.turn.name));
}
