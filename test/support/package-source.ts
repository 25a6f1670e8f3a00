/**
 * A mirror, an archive of old packages and an empty cache for tests of downloads, new for every test of a file.
 * Nothing is waited for before a further try.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { fetchPackages, packagePath } from "../../image/packages/download.ts";
import type { Network } from "../../image/packages/http.ts";
import type { LockedPackage } from "../../image/packages/lock.ts";
import { sha256, startMirror, type TestMirror } from "./mirror.ts";

const lockTime = Date.UTC(2026, 10, 19, 2, 12, 54) / 1000;
/** Half a day after the lock's time, as snapshot.debian.org writes times. */
export const snapshotTime = "20261119T141254Z";

export type OfferedPackage = LockedPackage & Readonly<{ content: Buffer }>;

/** What the tests of a file work with; valid inside of tests. */
export type PackageSource = {
  mirror: TestMirror;
  snapshot: TestMirror;
  cache: string;
  /** Milliseconds that should have been waited for. */
  readonly pauses: number[];
  readonly network: Network;
  /** Makes a package and serves it on the mirror. */
  readonly offer: (name: string, archive?: LockedPackage["archive"]) => OfferedPackage;
  readonly fetchAll: (
    packages: readonly LockedPackage[],
    more?: Partial<Parameters<typeof fetchPackages>[1]>,
  ) => Promise<Map<string, string>>;
  /** Puts into the cache what a build left that ended in the middle of a package, or still runs. */
  readonly leavePart: (one: LockedPackage, content: Uint8Array, processId?: number) => string;
  /** File names in the cache's folder of packages. */
  readonly cachedFiles: () => string[];
};

/** Path of a package on the mirror. */
export const pathOf = ({ archive, path }: LockedPackage): string => `/${archive}/${path}`;

/** The id of a process that has ended. */
export const endedProcess = (): number => spawnSync(process.execPath, ["--version"]).pid;

export function usePackageSource(): PackageSource {
  const pauses: number[] = [];
  const network: Network = { wait: async (milliseconds) => void pauses.push(milliseconds) };
  const source = { pauses, network, offer, fetchAll, leavePart, cachedFiles } as PackageSource;

  beforeEach(async () => {
    [source.mirror, source.snapshot] = await Promise.all([startMirror(), startMirror()]);
    source.cache = mkdtempSync(join(tmpdir(), "homing-cache-"));
    pauses.length = 0;
  });
  afterEach(async () => {
    await Promise.all([source.mirror.close(), source.snapshot.close()]);
    rmSync(source.cache, { recursive: true });
  });

  function offer(name: string, archive: LockedPackage["archive"] = "debian"): OfferedPackage {
    const content = Buffer.from(`the package ${name} `.repeat(1000));
    const path = `pool/main/${name[0]}/${name}_1_all.deb`;
    source.mirror.files.set(`/${archive}/${path}`, content);
    return {
      ...{ name, version: "1", archive, path, size: content.length, sha256: sha256(content) },
      ...{ use: "rootfs", content },
    };
  }

  function fetchAll(
    packages: readonly LockedPackage[],
    more: Partial<Parameters<typeof fetchPackages>[1]> = {},
  ): Promise<Map<string, string>> {
    return fetchPackages(packages, {
      cache: source.cache,
      lockTime,
      mirrors: { debian: `${source.mirror.url}/debian`, security: `${source.mirror.url}/security` },
      snapshot: source.snapshot.url,
      network,
      ...more,
    });
  }

  function leavePart(one: LockedPackage, content: Uint8Array, processId = endedProcess()): string {
    const path = `${packagePath(source.cache, one)}.${processId}-01234567.part`;
    mkdirSync(join(source.cache, "packages"), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  function cachedFiles(): string[] {
    return readdirSync(join(source.cache, "packages"));
  }

  return source;
}
