/**
 * Runs a command where relays can be started: builds this machine's root file system, or takes it from the
 * cache, and enters a namespace. For the wrapper of ring 2 (test/relay/run.ts) and for test/bench.
 */
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { buildRootfs } from "../../image/rootfs/build-rootfs.ts";
import { withProgress } from "../../installer/progress.ts";
import { runInNamespace } from "./namespace.ts";
import { ROOTFS_VARIABLE } from "./network.ts";
import { hostArchitecture, prepareTestLock, readTestLock } from "./test-lock.ts";

/** Resolves to the command's exit code. Throws when the root file system cannot be built. */
export async function runWithRelays(command: readonly string[]): Promise<number> {
  process.env[ROOTFS_VARIABLE] ??= await buildHostRootfs();
  return await runInNamespace(command);
}

/** Path of a squashfs for this machine's processor. */
async function buildHostRootfs(): Promise<string> {
  await prepareTestLock([hostArchitecture]);
  const mirrors = await chooseMirrors({ env: process.env });
  const { path } = await withProgress(process.stderr, (onProgress) =>
    buildRootfs({
      architecture: hostArchitecture,
      spec: rootfsSpec(),
      lock: readTestLock(),
      cache: defaultCacheDirectory(process.env),
      mirrors,
      onProgress,
    }),
  );
  return path;
}
