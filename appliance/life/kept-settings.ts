/**
 * The settings as an earlier start read them, from the same relay.toml and by the same program. Called by configure.ts at
 * every boot: reader and schema of relay.toml are half of what the program costs, and are only loaded when one of the two
 * has changed, or the file that keeps the settings is damaged or cannot be read.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { RelayConfig } from "../relay-config.ts";
import { type Disk, readIfReadable } from "./disk.ts";

/** Where settings are kept, and the program that reads them: what another one kept is not used. */
export type SettingsKeep = Readonly<{ path: string; program: string }>;

/**
 * The settings in `toml`; `name` is that file's, for errors. Throws RelayConfigError. Without `keep` they are read anew.
 * That they cannot be kept, or read where they were kept, is only said: the relay has them.
 */
export async function readKeptSettings(
  { toml, name }: Readonly<{ toml: Uint8Array; name: string }>,
  keep: SettingsKeep | undefined,
  { disk, say }: Readonly<{ disk: Disk; say(text: string): void }>,
): Promise<RelayConfig> {
  const parse = async () => {
    const { parseRelayConfig } = await import("../relay-config.ts");
    return parseRelayConfig(new TextDecoder().decode(toml), name);
  };
  if (keep === undefined) return parse();
  const program = await readFile(keep.program);
  /** Over all that the settings depend on and themselves, so that one comparison finds each change and each damage. */
  const seal = (json: string) =>
    [program, toml, json]
      .reduce((hash, part) => hash.update(createHash("sha256").update(part).digest()), createHash("sha256"))
      .digest("hex");
  const [kept = "", json = ""] = (await readIfReadable(keep.path, say))?.toString().split("\n") ?? [];
  if (kept === seal(json)) return JSON.parse(json) as RelayConfig;
  const config = await parse();
  const fresh = JSON.stringify(config);
  await disk.put(keep.path, `${seal(fresh)}\n${fresh}\n`, { mode: 0o600 }).catch((error: unknown) => {
    say(`the settings cannot be kept for the next start, which takes a little longer: ${String(error)}`);
  });
  return config;
}
