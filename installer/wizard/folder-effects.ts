/** The part of the wizard's work that is done in relay folders. Called by real-effects.ts. */
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join, relative } from "node:path";
import { noAnswers } from "./answers.ts";
import type { LookAtDomain } from "./dns-effects.ts";
import type { Effects, Options } from "./effects.ts";

type FolderTask = "relays" | "open" | "make" | "address" | "options" | "wifi" | "keep-access" | "save";

/** What ssh-keygen makes, the usual kind first. */
const usualKeyFiles = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];

export function folderEffects(directory: string, look: LookAtDomain): Pick<Effects, FolderTask> {
  return {
    async relays() {
      const keyFile = usualKeyFiles.map((name) => `~/.ssh/${name}`).find((path) => existsSync(inHome(path)));
      // What reads a relay's settings takes a while to load, and a newcomer has none.
      const names = await readdir(directory);
      const any = names.some((name) => existsSync(join(directory, name, "relay.toml")));
      const relays = any ? await (await import("./found-relays.ts")).findRelays(directory) : [];
      return {
        relays,
        keyFile: keyFile ?? "",
        country: countryOf(Intl.DateTimeFormat().resolvedOptions().locale),
      };
    },
    async open({ relay: { folder, domain, kept } }, { signal }) {
      const [options, access] = await Promise.all([
        optionsIn(folder),
        import("./kept-access.ts").then(({ readAccess }) => readAccess(folder, kept?.answers.provider)),
      ]);
      return { folder, domain, kept, options, ...access, ...(await look(domain, signal)) };
    },
    async make({ domain }, { signal }) {
      const { findRelays } = await import("./found-relays.ts");
      const there = (await findRelays(directory)).find((relay) => relay.domain === domain);
      if (there !== undefined) {
        const kept = there.kept ?? { page: "place", answers: { ...noAnswers, domain } };
        return { folder: there.folder, kept, options: await optionsIn(there.folder) };
      }
      const { createRelayFolder } = await import("../relay-folder.ts");
      const folder = shownPath(join(directory, domain));
      await createRelayFolder(folder, domain, {}, signal);
      return { folder, kept: undefined, options: await optionsIn(folder) };
    },
    async address({ folder, answers }) {
      const [{ readRelayFolder, relayIdentity }, { noteAddresses }] = await Promise.all([
        import("../relay-folder.ts"),
        import("../dns-records.ts"),
      ]);
      await noteAddresses(folder, relayIdentity(await readRelayFolder(folder)), answers.addresses);
      return {};
    },
    async options({ folder, options }) {
      const { writeOptions } = await import("./relay-options.ts");
      return { options: await writeOptions(folder, options) };
    },
    async wifi({ folder, wifi }) {
      const [{ setWifi }, { readRelayFolder }] = await Promise.all([
        import("../set-wifi.ts"),
        import("../relay-folder.ts"),
      ]);
      const before = (await readRelayFolder(folder)).config.wifi;
      // That it is hidden is not asked for, so it stays.
      const hidden = before.network === wifi?.network && before.hidden;
      await setWifi(folder, wifi === null ? null : { ...wifi, hidden });
      return { options: await optionsIn(folder) };
    },
    async "keep-access"({ folder, credentials }) {
      const { keepAccess } = await import("./kept-access.ts");
      return { path: await keepAccess(folder, credentials) };
    },
    async save(folder, kept) {
      const { writeProgress } = await import("./progress-file.ts");
      await writeProgress(folder, kept);
    },
  };
}

/** Where a computer's language is at home. American English is what computers everywhere are set to: it says nothing. */
export function countryOf(locale: string): string {
  const { region = "" } = new Intl.Locale(locale);
  return region === "US" || !/^[A-Z]{2}$/.test(region) ? "" : region;
}

/** Throws for a folder that no image could be made of. */
async function optionsIn(folder: string): Promise<Options> {
  const [{ readRelayFolder }, { optionsOf }] = await Promise.all([
    import("../relay-folder.ts"),
    import("./relay-options.ts"),
  ]);
  return optionsOf((await readRelayFolder(folder)).config);
}

/** As a person would write it: without the current folder. */
export function shownPath(path: string): string {
  const near = relative(process.cwd(), path);
  return near === "" || near.startsWith("..") || isAbsolute(near) ? path : near;
}

/** "~" is known to shells alone; people type it all the same. */
export function inHome(path: string): string {
  return path === "~" || /^~[\\/]/.test(path) ? join(homedir(), path.slice(1)) : path;
}
