/**
 * Changes of single instructions in programs of Debian's packages. Called by assemble.ts. A library in which the place
 * is not found beyond doubt stops the build: nothing is patched by guess.
 *
 * The one patch: Dovecot waits 500 ms before it tells an idling client about a new message
 * (NOTIFY_DELAY_MSECS in src/lib-storage/mailbox-watch.c, `timeout_add_short(500, …)`). 25 ms make a message
 * arrive at once; at 0 ms changes of a file within one tick of its time stamp would be missed.
 */
import type { Architecture } from "../spec.ts";
import { changeDelay, type DelayCall, DelayCallError } from "./delay-call.ts";
import { ElfError } from "./elf-segments.ts";
import type { Tree } from "./tree.ts";

type BytePatch = DelayCall & Readonly<{ package: string; path: string }>;

export const bytePatches: readonly BytePatch[] = [
  {
    package: "dovecot-core",
    path: "usr/lib/dovecot/libdovecot-storage.so.0.0.0",
    sourceFile: "mailbox-watch.c",
    before: 500,
    after: 25,
  },
];

/** The library is not as the patch knows it. */
export class BytePatchError extends Error {
  override name = "BytePatchError";
}

/** Applies the patches. Throws BytePatchError saying what was found instead. */
export function applyBytePatches(tree: Tree, architecture: Architecture): void {
  for (const patch of bytePatches) {
    const entry = tree.get(patch.path);
    if (entry?.type !== "file") {
      throw new BytePatchError(`${patch.package} no longer brings /${patch.path}, which is to be patched`);
    }
    try {
      tree.set(patch.path, { ...entry, content: changeDelay(entry.content, architecture, patch) });
    } catch (error) {
      if (!(error instanceof DelayCallError || error instanceof ElfError)) throw error;
      throw new BytePatchError(
        `/${patch.path} of the package ${patch.package} (${architecture}) cannot be patched: ${error.message}. ` +
          `Look at ${patch.sourceFile} of that version and correct image/rootfs/byte-patches.ts; until then, build ` +
          "without --refresh, from the lock file.",
        { cause: error },
      );
    }
  }
}
