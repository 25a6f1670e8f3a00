/**
 * The finished root file system against Debian's packages, as dpkg-deb unpacks them and the kernel reads it: every
 * entry of every package is there as it is packaged, or was changed or left out for a reason that the builder tells.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, lstat, mkdtemp, open, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { accountForPackages, type PackagedFile, traceOrigins } from "../../image/audit/origins.ts";
import { readFileAt } from "../../image/audit/read-at.ts";
import { readSquashfs } from "../../image/audit/squashfs-reader.ts";
import { readTar, type TarEntry } from "../../image/formats/tar.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { fetchPackages } from "../../image/packages/download.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { buildRootfs } from "../../image/rootfs/build-rootfs.ts";
import { makeRootContent, readPrograms } from "../../image/rootfs/root-content.ts";
import { SBOM_PATH } from "../../image/sbom/cyclonedx.ts";
import { expectSameAsDepmod, PACKAGED_INDEX } from "../image/rootfs/depmod.ts";
import { hostArchitecture, readTestLock } from "../support/test-lock.ts";

const missing =
  process.platform !== "linux" || process.getuid?.() !== 0
    ? "needs root on Linux"
    : ["dpkg-deb", "depmod"].find((program) => spawnSync(program, ["--version"]).error);
const reason =
  missing === undefined ? "" : ` (${missing === "needs root on Linux" ? missing : `needs ${missing}`})`;
/** Packages from before merged /usr name paths below these; on the device they are links into /usr. */
const MERGED = /^(bin|sbin|lib|lib64)\//;

describe.skipIf(reason !== "").each(["amd64", "arm64"] as const)(
  `the root file system for %s${reason}`,
  (architecture) => {
    let squashfs: string;
    let root: string;
    let paths: ReadonlyMap<string, string>;
    let accounts: ReadonlyMap<string, PackagedFile>;

    beforeAll(async () => {
      const lock = readTestLock();
      const cache = defaultCacheDirectory(process.env);
      const mirrors = await chooseMirrors({ env: process.env });
      const options = { architecture, spec: rootfsSpec(), lock, cache, mirrors } as const;
      squashfs = (await buildRootfs(options)).path;
      root = await mkdtemp(join(tmpdir(), "homing-root-content-"));
      execFileSync("mount", ["-o", "ro,loop", "-t", "squashfs", squashfs, root]);
      const locked = lock.architectures[architecture].filter(({ use }) => use === "rootfs");
      paths = await fetchPackages(locked, { cache, mirrors, lockTime: lock.generated });
      const trace = traceOrigins();
      const { tree, packages } = await makeRootContent(options, await readPrograms(options), trace.afterStep);
      const kept = packages.filter(({ name }) => paths.has(name));
      const accounted = accountForPackages(tree, kept, trace);
      accounts = new Map(accounted.map((one) => [`${one.package} ${one.path}`, one]));
    });
    afterAll(async () => {
      execFileSync("umount", [root]);
      await rm(root, { recursive: true });
    });

    it("holds every file of every package as packaged, or the builder says why not", async () => {
      const unexplained: string[] = [];
      let checked = 0;
      for (const [name, path] of paths) {
        for (const entry of readTar(await unpacked(path))) {
          const place = MERGED.test(entry.path) ? `usr/${entry.path}` : entry.path;
          if (place === "") continue;
          checked++;
          const difference = await differenceOf(join(root, place), entry);
          const account = accounts.get(`${name} ${place}`);
          const told = account?.fate === "kept" || account === undefined ? undefined : account.reason;
          if (difference !== undefined && told === undefined)
            unexplained.push(`${name}: /${place} ${difference}`);
          // The builder's own account is not to explain away what is all right.
          if (difference === undefined && account?.fate === "left out") {
            unexplained.push(`${name}: /${place} is there, although left out ${account.reason}`);
          }
        }
      }
      expect(unexplained).toEqual([]);
      expect(checked).toBeGreaterThan(10_000);
    });

    it("is read by the kernel as the audit reads it, every byte of every file", async () => {
      await using file = await open(squashfs);
      const { entries } = await readSquashfs(readFileAt(file));
      // find(1), because readdir() follows links out of the folder.
      const listed = execFileSync("find", [root, "-mindepth", "1", "-printf", "%P\\0"], { encoding: "utf8" });
      expect(listed.split("\0").filter(Boolean).sort()).toEqual(
        [...entries.keys()].filter((path) => path !== "").sort(),
      );
      for (const [path, { type, mode, uid, gid, time, sha256, target }] of entries) {
        const place = join(root, path);
        const found = await lstat(place);
        const what = [found.mode & 0o7777, found.uid, found.gid, found.mtimeMs / 1000];
        expect(what, path).toEqual([mode, uid, gid, time]);
        if (type === "symlink") expect(await readlink(place), path).toBe(target);
        if (type !== "file") continue;
        const content = createHash("sha256")
          .update(await readFile(place))
          .digest("hex");
        expect(content, path).toBe(sha256);
      }
    });

    it("has the index of kernel modules that depmod makes, its own where it runs", async () => {
      const [release] = await readdir(join(root, "usr/lib/modules"));
      const folder = join(root, "usr/lib/modules", release!);
      execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(root, "tmp")]);
      try {
        const base = join(root, "tmp");
        const ownDepmod = ["chroot", root, "depmod", "-o", "/tmp", release!];
        // An older depmod writes only where the modules are.
        const hostDepmod = ["depmod", "-b", base, release!];
        const [program, ...args] = architecture === hostArchitecture ? ownDepmod : hostDepmod;
        if (program === "depmod") await cp(folder, join(base, "lib/modules", release!), { recursive: true });
        const depmod = spawnSync(program!, args, { encoding: "utf8" });
        expect([depmod.status, depmod.stderr]).toEqual([0, ""]);
        const made = join(root, "tmp/lib/modules", release!);
        const index = (await readdir(folder)).filter(
          (name) => name.startsWith("modules.") && !PACKAGED_INDEX.includes(name),
        );
        const contents = index.map(async (name) => [name, await readFile(join(folder, name))] as const);
        await expectSameAsDepmod(new Map(await Promise.all(contents)), made);
      } finally {
        execFileSync("umount", [join(root, "tmp")]);
      }
    });

    it("carries a bill of materials that says of the packages what dpkg-deb says", async () => {
      const sbom = JSON.parse(await readFile(join(root, SBOM_PATH), "utf8")) as {
        components: {
          name: string;
          version: string;
          purl?: string;
          properties?: { name: string; value: string }[];
        }[];
      };
      const debian = new Map(
        sbom.components.flatMap(({ purl, ...one }) =>
          purl?.startsWith("pkg:deb/") ? [[one.name, one] as const] : [],
        ),
      );
      for (const [name, path] of paths) {
        const fields = execFileSync("dpkg-deb", ["--field", path, "Version", "Architecture", "Source"], {
          encoding: "utf8",
        });
        const field = (key: string) => new RegExp(`^${key}: (.+)$`, "m").exec(fields)?.[1];
        const component = debian.get(name);
        const property = (key: string) =>
          component?.properties?.find((one) => one.name === `homing:debian:${key}`)?.value;
        const [source, sourceVersion] = (field("Source") ?? name).split(/ \(|\)/);
        expect([
          name,
          component?.version,
          property("architecture"),
          property("source"),
          property("source-version"),
        ]).toEqual([
          ...[name, field("Version"), field("Architecture"), source, sourceVersion ?? field("Version")],
        ]);
      }
    });

    it("changes few packaged files, each in a place that is known", () => {
      const changed = [...accounts.values()].filter(
        ({ fate, reason }) => fate === "changed" && !reason?.startsWith("another package brought the folder"),
      );
      const places = new Set(changed.map(({ reason }) => reason));
      for (const place of places) expect(place).toMatch(/^by (?:image\/rootfs|appliance)\/[a-z-]+\.ts/);
      expect(changed.map(({ path }) => path)).toContain("usr/lib/dovecot/libdovecot-storage.so.0.0.0");
      expect(changed.length).toBeLessThan(40);
    });

    it("loses no file capability or extended attribute: no package sets one by itself", async () => {
      const setters: string[] = [];
      for (const [name, path] of paths) {
        const scripts = readTar(await unpacked(path, "--ctrl-tarfile")).filter((entry) =>
          ["preinst", "postinst", "triggers"].includes(entry.path),
        );
        const text = scripts.map(({ content }) => Buffer.from(content).toString("latin1")).join("\n");
        if (/\b(?:setcap|setfattr)\b/.test(text)) setters.push(name);
      }
      // Only where debconf's question iproute2/setcaps was answered with yes; its default is no.
      expect(setters).toEqual(["iproute2"]);
    });
  },
);

/** The package's data.tar, or its control.tar, as dpkg-deb unpacks it. */
async function unpacked(path: string, part = "--fsys-tarfile"): Promise<Buffer> {
  const dpkg = spawn("dpkg-deb", [part, path], { stdio: ["ignore", "pipe", "inherit"] });
  const chunks: Buffer[] = [];
  for await (const chunk of dpkg.stdout) chunks.push(chunk as Buffer);
  const code = dpkg.exitCode ?? (await new Promise((resolve) => dpkg.once("exit", resolve)));
  if (code !== 0) throw new Error(`dpkg-deb failed on ${basename(path)}`);
  return Buffer.concat(chunks);
}

/** How a path of the mounted root file system differs from a packaged entry; undefined when it does not. */
async function differenceOf(path: string, entry: TarEntry): Promise<string | undefined> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return "is missing";
  const type = found.isFile()
    ? "file"
    : found.isDirectory()
      ? "directory"
      : found.isSymbolicLink()
        ? "symlink"
        : "other";
  if (type !== (entry.type === "hardlink" ? "file" : entry.type)) return `is a ${type}, not a ${entry.type}`;
  if (type === "symlink") return (await readlink(path)) === entry.target ? undefined : "leads elsewhere";
  if (entry.type === "hardlink") return found.nlink > 1 ? undefined : "is no hard link";
  if ((found.mode & 0o7777) !== entry.mode) return "has another mode";
  if (found.uid !== entry.uid || found.gid !== entry.gid) return "has another owner";
  if (type === "file" && !(await readFile(path)).equals(entry.content)) return "has another content";
  return undefined;
}
