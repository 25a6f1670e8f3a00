/**
 * The part of the wizard's work that makes the image: what `./homing build` does, after a look at the place that it would
 * take. Called by real-effects.ts.
 */
import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { PackageLock } from "../../image/packages/lock.ts";
import type { Effects, Finding, Taken } from "./effects.ts";
import { shownPath } from "./folder-effects.ts";

export type ImageWorld = Readonly<{
  env: Readonly<Record<string, string | undefined>>;
  /** Where the image is put. */
  directory: string;
  /** For tests: other packages than the project's list. */
  lock?: PackageLock;
}>;

export function imageEffects({ env, directory, lock }: ImageWorld): Pick<Effects, "build"> {
  return {
    async build({ folder, target, form, out, replace = false }, { report, signal }) {
      const { buildRelay, outputName } = await import("../build-relay.ts");
      const path = join(directory, out ?? outputName(folder, target, { form }));
      const there = existsSync(path);
      const taken = there && !replace ? await takenAt(path) : undefined;
      if (taken !== undefined) return { built: undefined, taken };
      const order = { folder, target, form, out: path, replace, ...(lock && { lock }) };
      const { image, notes } = await buildRelay(order, { env, signal }, report);
      const words = there ? ["It has taken the place of the image that was there before.", ...notes] : notes;
      const findings = words.map((text): Finding => ({ mark: "note", text }));
      const megabytes = (image.packed?.bytes ?? image.bytes) / 1e6;
      return { built: { path: shownPath(image.path), megabytes, findings }, taken: undefined };
    },
  };
}

/** Undefined for what a build may replace: an image of ours that nobody has used. */
async function takenAt(path: string): Promise<Taken | undefined> {
  const { isImage, readHead, wasBooted } = await import("../../image/output-file.ts");
  const head = (await stat(path)).isFile() ? await readHead(path) : undefined;
  if (head !== undefined && isImage(head) && !wasBooted(head)) return undefined;
  return {
    path: shownPath(path),
    isRelay: head !== undefined && isImage(head),
    free: await freeNameBeside(path),
  };
}

/** "chat.example.org-vm-2.qcow2": the ending stays, for the kind of the file is known by it. */
async function freeNameBeside(path: string): Promise<string> {
  const names = new Set((await readdir(dirname(path))).map((name) => name.toLowerCase()));
  const [, stem = "", ending = ""] = /([^/\\]*)(\.[^./\\]+)$/.exec(path) ?? [];
  for (let number = 2; ; number++) {
    const name = `${stem}-${number}${ending}`;
    if (!names.has(name.toLowerCase())) return name;
  }
}
