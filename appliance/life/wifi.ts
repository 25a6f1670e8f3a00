/**
 * Writes what wpa_supplicant(8) needs to join the network of the settings, in memory, readable by root alone; or nothing,
 * and then the radio stays off. Called by configure.ts at every boot.
 */
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { supplicantConfig } from "../files/wifi.ts";
import { dataPaths, runPaths } from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";
import { relayFilePaths } from "../relay-files.ts";
import { wifiKey, wifiPasswordOf, wifiPasswordProblem } from "../wifi.ts";
import { type Disk, readIfReadable } from "./disk.ts";

type Device = Readonly<{ at(path: string): string; say(text: string): void; disk: Disk }>;

/**
 * A password that is missing or wrong stops no relay: a cable may be there. Import has refused it; so it was changed
 * on the data partition itself.
 */
export async function writeWifi({ at, say, disk }: Device, config: RelayConfig): Promise<void> {
  const { wifi } = config;
  const { wifiPassword } = relayFilePaths(config);
  await rm(at(runPaths.wifi), { force: true });
  if (wifi.network === "") return;
  let key: string | null = null;
  if (wifiPassword !== null) {
    const password = wifiPasswordOf(
      (await readIfReadable(at(`${dataPaths.relay}/${wifiPassword}`), say))?.toString() ?? "",
    );
    const problem = wifiPasswordProblem(password);
    if (problem !== undefined) {
      say(`no Wi-Fi: ${wifiPassword} on the data partition: ${problem}`);
      return;
    }
    key = wifiKey(wifi.network, password);
  }
  await disk.makeDirectory(at(dirname(runPaths.wifi)), { mode: 0o700 });
  await disk.put(at(runPaths.wifi), supplicantConfig(wifi, key), { mode: 0o600 });
}
