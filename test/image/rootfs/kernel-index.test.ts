/**
 * The index of the real kernels' modules as images carry it, both architectures, judged by depmod on the very modules
 * that are kept. Takes the locked packages from the cache; where they are not, it is skipped.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defaultCacheDirectory } from "../../../image/packages/cache.ts";
import { loadPackage } from "../../../image/packages/deb.ts";
import { readLock } from "../../../image/packages/lock.ts";
import { readKernel } from "../../../image/rootfs/kernel.ts";
import type { PackageContent } from "../../../image/rootfs/merge.ts";
import { expectSameAsDepmod, layOutKernel, PACKAGED_INDEX } from "./depmod.ts";

/** Some thousand modules are decompressed and analysed twice: seconds, and more on a loaded machine. */
const TIMEOUT = 240_000;

const environment = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
const version = spawnSync("depmod", ["--version"], { env: environment, encoding: "utf8" });
const readsXz = version.error === undefined && version.stdout.includes("+XZ");

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-kernel-index-"));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

describe.each(["amd64", "arm64"] as const)("the kernel for %s", (architecture) => {
  const packages = readLock().architectures[architecture].flatMap(({ name, path, sha256 }) =>
    name.startsWith("linux-")
      ? [
          {
            name,
            file: join(defaultCacheDirectory(), "packages", `${sha256.slice(0, 16)}-${basename(path)}`),
          },
        ]
      : [],
  );
  const missing = readsXz
    ? packages.some(({ file }) => !existsSync(file))
      ? " (needs its packages in the cache: build an image first)"
      : ""
    : " (needs kmod with xz)";

  it.skipIf(missing !== "")(
    `has the index of its modules that depmod makes${missing}`,
    async () => {
      const contents = await Promise.all(
        packages.map(async ({ name, file }): Promise<PackageContent> => {
          return { name, entries: (await loadPackage(file)).entries };
        }),
      );
      const { release, files } = await readKernel(contents, architecture);
      const prefix = `usr/lib/modules/${release}/`;
      const found = new Map([...files].map(([path, content]) => [path.slice(prefix.length), content]));
      const isMadeByUs = (path: string) => path.startsWith("modules.") && !PACKAGED_INDEX.includes(path);
      const packaged = new Map([...found].filter(([path]) => !isMadeByUs(path)));
      expect(packaged.size).toBeGreaterThan(500);
      const { base, folder } = await layOutKernel(scratch, architecture, release, packaged);
      const depmod = spawnSync("depmod", ["-b", base, release], { env: environment, encoding: "utf8" });
      expect([depmod.status, depmod.stderr]).toEqual([0, ""]);
      await expectSameAsDepmod(new Map([...found].filter(([path]) => isMadeByUs(path))), folder);
    },
    TIMEOUT,
  );
});
