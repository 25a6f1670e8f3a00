/**
 * How long an image takes to build and how large it gets: `node installer/launch.mjs --script
 * test/bench/build.ts [vm|pi]`. Downloads are not part of the figures: they are fetched first. Each build runs
 * in a process of its own, so that its peak memory can be told.
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { buildImage } from "../../image/build.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import type { TargetName } from "../../image/targets/target.ts";
import { createRelayFolder, readRelayFolder } from "../../installer/relay-folder.ts";

type Figures = {
  seconds: number;
  peakBytes: number;
  imageBytes: number;
  rootfsBytes: number;
  reused: boolean;
};

/** One build in this process; its figures go to the parent. */
async function buildOnce(target: TargetName, folder: string, cache: string, out: string): Promise<Figures> {
  const { files } = await readRelayFolder(folder);
  const started = performance.now();
  const image = await buildImage({
    target,
    spec: rootfsSpec(),
    relay: files,
    out,
    lock: readLock(),
    cache,
    mirrors: await chooseMirrors({ env: process.env }),
  });
  return {
    seconds: (performance.now() - started) / 1000,
    // getrusage(2) counts in kibibytes on Linux.
    peakBytes: process.resourceUsage().maxRSS * 1024,
    imageBytes: image.bytes,
    rootfsBytes: image.rootfs.bytes,
    reused: image.rootfs.reused,
  };
}

function buildInChild(target: TargetName, folder: string, cache: string, out: string): Promise<Figures> {
  const args = [
    "--disable-warning=ExperimentalWarning",
    import.meta.filename,
    "--once",
    target,
    folder,
    cache,
    out,
  ];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) =>
      code === 0
        ? resolve(JSON.parse(output) as Figures)
        : reject(new Error(`the build ended with code ${code}`)),
    );
  });
}

async function main(targets: readonly TargetName[]): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "homing-bench-"));
  const cache = defaultCacheDirectory();
  try {
    const folder = join(work, "relay");
    await createRelayFolder(folder, "_bench.test");
    const rows: Record<string, string>[] = [];
    for (const target of targets) {
      const out = join(work, `${target}.img`);
      const build = () => buildInChild(target, folder, cache, out);
      await build();
      await rm(join(cache, "rootfs"), { recursive: true, force: true });
      const whole = await build();
      const again = await build();
      if (whole.reused || !again.reused)
        throw new Error("the root file system's cache did not behave as expected");
      rows.push({
        target,
        "build, packages in the cache": `${whole.seconds.toFixed(1)} s`,
        "build, only relay.toml changed": `${again.seconds.toFixed(1)} s`,
        "peak memory": `${Math.round(whole.peakBytes / 1e6)} MB`,
        "root file system": `${(whole.rootfsBytes / 1e6).toFixed(1)} MB`,
        image: `${(whole.imageBytes / 1e6).toFixed(1)} MB`,
      });
    }
    console.log(`On ${availableParallelism()} processors, Node ${process.version}:`);
    console.table(rows);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

const [first, ...rest] = process.argv.slice(2);
if (first === "--once") {
  const [target, folder, cache, out] = rest as [TargetName, string, string, string];
  console.log(JSON.stringify(await buildOnce(target, folder, cache, out)));
} else {
  await main(first === "vm" || first === "pi" ? [first] : ["vm", "pi"]);
}
