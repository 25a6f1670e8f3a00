/**
 * Changes of a few bytes in programs of Debian's packages, pinned to the exact file they were found in.
 * Called by assemble.ts. A library that is not the pinned one stops the build: nothing is patched by guess.
 *
 * The one patch: Dovecot waits 500 ms before it tells an idling client about a new message
 * (NOTIFY_DELAY_MSECS in src/lib-storage/mailbox-watch.c, `timeout_add_short(500, …)`). 25 ms make a message
 * arrive at once; at 0 ms changes of a file within one tick of its time stamp would be missed.
 */
import { createHash } from "node:crypto";
import type { Architecture } from "../spec.ts";
import type { Tree } from "./tree.ts";

export type BytePatch = Readonly<{
  /** Package and version it was made for, for the error text. */
  package: string;
  version: string;
  path: string;
  /** SHA-256 of the whole file before, hexadecimal. */
  sha256: string;
  /** File offset of the bytes, which are hexadecimal and of equal length. */
  offset: number;
  before: string;
  after: string;
}>;

const storageLibrary = "usr/lib/dovecot/libdovecot-storage.so.0.0.0";
const dovecot = { package: "dovecot-core", version: "1:2.4.1+dfsg1-6+deb13u7", path: storageLibrary };

export const bytePatches: Readonly<Record<Architecture, readonly BytePatch[]>> = {
  amd64: [
    {
      ...dovecot,
      sha256: "04ef92cd3a375192d42040f2b4f50a2eb2cec8df014e80b1e7381bf81a8d3e2e",
      offset: 0x783cf,
      before: "bff4010000", // mov edi, 500
      after: "bf19000000", // mov edi, 25
    },
  ],
  arm64: [
    {
      ...dovecot,
      sha256: "76d0fcaeff3e5b66a1d3ab111286445d85e73bb4e1c3dcb41897d2c942eaf754",
      offset: 0x6a41c,
      before: "803e8052", // mov w0, #500
      after: "20038052", // mov w0, #25
    },
  ],
};

/** The file to patch is not the one the patch was made for. */
export class BytePatchError extends Error {
  override name = "BytePatchError";
}

/** Applies the patches of one architecture. Throws BytePatchError saying what was found instead. */
export function applyBytePatches(tree: Tree, patches: readonly BytePatch[]): void {
  for (const patch of patches) {
    const entry = tree.get(patch.path);
    if (entry?.type !== "file") {
      throw new BytePatchError(`${patch.package} no longer brings /${patch.path}, which is to be patched`);
    }
    tree.set(patch.path, { ...entry, content: patched(entry.content, patch) });
  }
}

function patched(content: Uint8Array, patch: BytePatch): Uint8Array {
  const found = createHash("sha256").update(content).digest("hex");
  if (found !== patch.sha256) {
    throw new BytePatchError(
      `/${patch.path} is not the file of ${patch.package} ${patch.version} that the patch was made for ` +
        `(SHA-256 ${found}, not ${patch.sha256}). Find the place again as image/rootfs/byte-patches.ts describes ` +
        "and pin the new file there.",
    );
  }
  const before = Buffer.from(patch.before, "hex");
  const after = Buffer.from(patch.after, "hex");
  const copy = Buffer.from(content);
  const place = copy.subarray(patch.offset, patch.offset + before.length);
  if (before.length !== after.length || !place.equals(before)) {
    throw new BytePatchError(
      `/${patch.path} has ${place.toString("hex")} at offset ${patch.offset}, not ${patch.before}`,
    );
  }
  after.copy(place);
  return copy;
}
