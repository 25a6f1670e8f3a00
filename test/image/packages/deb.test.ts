/** Tests of the package reader against packages that dpkg-deb builds. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadPackage } from "../../../image/packages/deb.ts";

const hasDpkg = spawnSync("dpkg-deb", ["--version"]).status === 0;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "homing-deb-"));
  const tree = join(folder, "tree");
  for (const path of ["DEBIAN", "etc/pigeon", "usr/bin"]) {
    mkdirSync(join(tree, path), { recursive: true, mode: 0o755 });
  }
  const control = "Package: pigeon\nVersion: 1:2.0-3\nArchitecture: all\nMaintainer: A <a@example.org>\n";
  writeFileSync(join(tree, "DEBIAN/control"), `${control}Description: a bird\n that finds\n .\n home\n`);
  writeFileSync(join(tree, "DEBIAN/conffiles"), "/etc/pigeon/loft.conf\n");
  writeFileSync(join(tree, "DEBIAN/postinst"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  writeFileSync(join(tree, "etc/pigeon/loft.conf"), "perch = 1\n");
  writeFileSync(join(tree, "usr/bin/coo"), "#!/bin/sh\n", { mode: 0o755 });
  symlinkSync("coo", join(tree, "usr/bin/croon"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function build(compression: string): string {
  const path = join(folder, `${compression}.deb`);
  const arguments_ = [`-Z${compression}`, "--root-owner-group", "--build", join(folder, "tree"), path];
  const made = spawnSync("dpkg-deb", arguments_, { encoding: "utf8" });
  if (made.status !== 0) throw new Error(made.stderr);
  return path;
}

describe.skipIf(!hasDpkg)("packages of dpkg-deb (skipped where there is none)", () => {
  it.each(["xz", "gzip", "zstd", "none"])("are read when compressed by %s", async (compression) => {
    const { control, controlFiles, conffiles, entries } = await loadPackage(build(compression));
    expect(control.get("package")).toBe("pigeon");
    expect(control.get("version")).toBe("1:2.0-3");
    expect(control.get("description")).toBe("a bird\nthat finds\n.\nhome");
    expect([...controlFiles.keys()].sort()).toEqual(["conffiles", "control", "postinst"]);
    expect(conffiles).toEqual(["etc/pigeon/loft.conf"]);
    expect(entries.map(({ path, type, mode }) => [path, type, mode])).toEqual([
      ["", "directory", 0o755],
      ["etc", "directory", 0o755],
      ["etc/pigeon", "directory", 0o755],
      ["etc/pigeon/loft.conf", "file", 0o644],
      ["usr", "directory", 0o755],
      ["usr/bin", "directory", 0o755],
      ["usr/bin/coo", "file", 0o755],
      ["usr/bin/croon", "symlink", 0o777],
    ]);
    const file = entries.find(({ path }) => path === "etc/pigeon/loft.conf");
    expect(Buffer.from(file!.content).toString()).toBe("perch = 1\n");
  });

  it("are refused when damaged, with the file's name", async () => {
    const path = build("xz");
    const bytes = readFileSync(path);
    bytes[bytes.length - 60]! ^= 0x40;
    const damaged = join(folder, "damaged.deb");
    writeFileSync(damaged, bytes);
    await expect(loadPackage(damaged)).rejects.toThrow(/damaged\.deb is not a sound Debian package/);
    writeFileSync(damaged, "<html>no such file</html>");
    await expect(loadPackage(damaged)).rejects.toThrow(/not an ar archive/);
  });
});
