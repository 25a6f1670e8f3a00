/**
 * Lets the next DKIM key take over once every name server of the domain shows it: run from time to time by
 * homing-dkim.timer, only while there is such a key. The milter sees the file that is written here.
 */
import { createPublicKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { realResolvers } from "../../appliance/dns/published.ts";
import { dkimStatePath, runPaths } from "../../appliance/layout.ts";
import { createLog } from "../lib/log.ts";
import { loadRelayConfig } from "../lib/settings.ts";
import { switchWhenPublished } from "./switch.ts";

const { domain, dkim } = await loadRelayConfig();
await switchWhenPublished({
  domain,
  selector: dkim.nextSelector,
  key: createPublicKey(await readFile(runPaths.dkimNextPublicKey)),
  statePath: dkimStatePath,
  resolvers: realResolvers(),
  log: createLog(),
});
