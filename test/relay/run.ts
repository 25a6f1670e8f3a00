/**
 * What `npm test` puts before ring 2's command (test/run.ts): builds this machine's root file system, or takes
 * it from the cache, and runs the command inside a namespace of its own (test/support/namespace.ts).
 *
 *     node test/relay/run.ts COMMAND [ARGUMENT …]
 */
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { buildRootfs } from "../../image/rootfs/build-rootfs.ts";
import { createProgress } from "../../installer/progress.ts";
import { runInNamespace } from "../support/namespace.ts";
import { ROOTFS_VARIABLE } from "../support/network.ts";

/** Path of the squashfs: what the environment names, else freshly built. */
async function findRootfs(): Promise<string> {
  const given = process.env[ROOTFS_VARIABLE];
  if (given !== undefined) return given;
  const progress = createProgress(process.stderr);
  try {
    const { path } = await buildRootfs({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      spec: rootfsSpec(),
      lock: readLock(),
      cache: defaultCacheDirectory(process.env),
      mirrors: await chooseMirrors({ env: process.env }),
      onProgress: progress.report,
    });
    progress.end();
    return path;
  } catch (error) {
    progress.end(false);
    throw error;
  }
}

const command = process.argv.slice(2);
if (command.length === 0) throw new Error("usage: node test/relay/run.ts COMMAND [ARGUMENT …]");
process.env[ROOTFS_VARIABLE] = await findRootfs();
process.exitCode = await runInNamespace(command);
