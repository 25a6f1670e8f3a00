/**
 * The wizard's work in the real world: the relay's folder, the DNS, its providers, the build. Tests put their own
 * surroundings into `World`. Everything large is loaded with the task that needs it, so that the first screen does not
 * wait.
 */
import { join } from "node:path";
import type { PackageLock } from "../../image/packages/lock.ts";
import type { LineWorld } from "../reachability/line-world.ts";
import { places } from "./answers.ts";
import { cardEffects } from "./card-effects.ts";
import { type DnsSurroundings, dnsEffects } from "./dns-effects.ts";
import type { Effects, Finding } from "./effects.ts";
import { folderEffects, inHome, shownPath } from "./folder-effects.ts";

export type World = DnsSurroundings &
  Readonly<{
    env: Readonly<Record<string, string | undefined>>;
    /** Where the relay's folder and the image are put. */
    directory: string;
    /** For tests: who is asked about the line. */
    line?: LineWorld;
    /** For tests: other packages than the project's list. */
    lock?: PackageLock;
  }>;

export function realEffects(world: World): Effects {
  const { directory, env } = world;
  const dns = dnsEffects(world);
  return {
    ...dns.effects,
    ...folderEffects(directory, dns.look),
    ...cardEffects(),
    async reach(_, { signal }) {
      const { lookForWizard } = await import("../reachability/wizard-findings.ts");
      return { reachability: await lookForWizard(world.line, directory, signal) };
    },
    async "key-file"({ path }) {
      const { readPublicKeys } = await import("../ssh-key-file.ts");
      return { keys: await readPublicKeys(inHome(path)) };
    },
    async build({ folder, place }, { report, signal }) {
      const { buildRelay, outputName } = await import("../build-relay.ts");
      const { target } = places[place];
      const order = { folder, target, out: join(directory, outputName(folder, target, {})) };
      const lock = world.lock === undefined ? {} : { lock: world.lock };
      const { image, notes } = await buildRelay({ ...order, ...lock }, { env, signal }, report);
      const findings = notes.map((text): Finding => ({ mark: "note", text }));
      return { built: { path: shownPath(image.path), megabytes: image.bytes / 1e6, findings } };
    },
  };
}
