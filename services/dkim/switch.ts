/**
 * The change from one DKIM key to the next: asks the DNS, and writes the new selector down where the milter reads it
 * and a power cut cannot take it. Never goes back: once mail was signed with the new key, both are in use until the
 * owner withdraws the old one. Called by main.ts.
 */
import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type Resolvers, whereIsDkimKey, ZoneError } from "../../appliance/dns/published.ts";
import { replaceDurably } from "../../appliance/durable.ts";
import type { Log } from "../lib/log.ts";

export type SwitchOptions = Readonly<{
  domain: string;
  /** Of the key that shall take over. */
  selector: string;
  /** Its public half. */
  key: KeyObject;
  /** File to write the selector to. */
  statePath: string;
  resolvers: Resolvers;
  log: Log;
}>;

/** Resolves to whether the next key signs from now on, or did already. Rejects when the file cannot be written. */
export async function switchWhenPublished(options: SwitchOptions): Promise<boolean> {
  const { domain, selector, key, statePath, resolvers, log } = options;
  if ((await readIfPresent(statePath))?.trim() === selector) return true;
  const name = `${selector}._domainkey.${domain}`;
  try {
    const { everywhere, findings } = await whereIsDkimKey(name, key, resolvers);
    if (!everywhere) {
      const waiting = findings.filter(({ state }) => state !== "published");
      const servers = waiting
        .map(({ server, address, state }) => `${server} ${address}: ${state}`)
        .join(", ");
      log.info("the next DKIM key is not in the DNS everywhere yet, the present one goes on signing", {
        name,
        servers,
      });
      return false;
    }
  } catch (error) {
    if (!(error instanceof ZoneError)) throw error;
    log.warn("cannot see whether the next DKIM key is in the DNS", { name, reason: error.message });
    return false;
  }
  await replaceDurably(statePath, `${selector}\n`, { mode: 0o644 });
  log.info("the next DKIM key is in the DNS everywhere and signs from now on", { name });
  return true;
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
