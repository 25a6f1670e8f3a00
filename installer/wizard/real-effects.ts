/**
 * The wizard's work in the real world: the relay's folder, the DNS, its providers, the build. Tests put their own
 * surroundings into `World`. Everything large is loaded with the task that needs it, so that the first screen does not
 * wait.
 */
import type { LineWorld } from "../reachability/line-world.ts";
import { cardEffects } from "./card-effects.ts";
import { type DnsSurroundings, dnsEffects } from "./dns-effects.ts";
import type { Effects } from "./effects.ts";
import { folderEffects, inHome } from "./folder-effects.ts";
import { type ImageWorld, imageEffects } from "./image-effects.ts";

/** The relay's folder lies in `directory` too. */
export type World = DnsSurroundings &
  ImageWorld &
  Readonly<{
    /** For tests: who is asked about the line. */
    line?: LineWorld;
  }>;

export function realEffects(world: World): Effects {
  const { directory } = world;
  const dns = dnsEffects(world);
  return {
    ...dns.effects,
    ...folderEffects(directory, dns.look),
    ...imageEffects(world),
    ...cardEffects(),
    async reach(_, { signal }) {
      const { lookForWizard } = await import("../reachability/wizard-findings.ts");
      return { reachability: await lookForWizard(world.line, directory, signal) };
    },
    async "key-file"({ path }) {
      const { readPublicKeys } = await import("../ssh-key-file.ts");
      return { keys: await readPublicKeys(inHome(path)) };
    },
  };
}
