/**
 * What the root file system leaves out is missed by no program: the device's own dynamic loader finds every library
 * that any program or library in it is linked to.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missingForRelays, ROOTFS_VARIABLE } from "../support/network.ts";

const missing = missingForRelays();
const LOADER = process.arch === "arm64" ? "/lib/ld-linux-aarch64.so.1" : "/lib64/ld-linux-x86-64.so.2";
const ELF_MAGIC = Buffer.from("\x7fELF", "latin1");
/** e_type of programs and libraries (System V ABI, chapter 4); others are objects that are never loaded so. */
const LOADED_TYPES = [2, 3];

/**
 * Reads paths, one a line, and prints those whose libraries are not all found, with what the loader says. A library may
 * count on what lies beside it: whoever loads it looks there (systemd's own ones).
 */
const SCRIPT = `
while read -r path; do
  said=$(${LOADER} --library-path "\${path%/*}" --list "$path" 2>&1) && case $said in *"not found"*) false;; esac && continue
  case $said in *"statically linked"*|*"not a dynamic executable"*) continue;; esac
  printf '%s: %s\\n' "$path" "$said"
done`;

describe.skipIf(missing !== undefined)(`the libraries${missing ? ` (${missing})` : ""}`, () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "homing-libraries-"));
    execFileSync("mount", ["-o", "ro,loop", "-t", "squashfs", process.env[ROOTFS_VARIABLE]!, root]);
  });
  afterAll(async () => {
    execFileSync("umount", [root]);
    await rm(root, { recursive: true });
  });

  it("that programs and libraries need are all there", async () => {
    const paths: string[] = [];
    for (const entry of await readdir(join(root, "usr"), { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && (await isLoaded(path))) paths.push(`/${relative(root, path)}`);
    }
    expect(paths).toContain("/usr/lib/homing/node");
    expect(paths.length).toBeGreaterThan(500);
    const { stdout, stderr } = spawnSync("chroot", [root, "/bin/sh", "-c", SCRIPT], {
      input: `${paths.join("\n")}\n`,
      encoding: "utf8",
    });
    expect([stdout, stderr]).toEqual(["", ""]);
  });

  it("are missed by the loader when they are not there", async () => {
    const folder = join(root, "usr/lib");
    const libraries = await readdir(folder, { recursive: true });
    const hidden = join(folder, libraries.find((path) => /\/libz\.so\.1\.[\d.]+$/.test(path))!);
    execFileSync("mount", ["--bind", "/dev/null", hidden]);
    try {
      const { stdout } = spawnSync("chroot", [root, "/bin/sh", "-c", SCRIPT], {
        input: "/usr/lib/dovecot/imap\n/usr/bin/true\n",
        encoding: "utf8",
      });
      expect(stdout).toMatch(/^\/usr\/lib\/dovecot\/imap: .*libz\.so\.1.*\n$/);
    } finally {
      execFileSync("umount", [hidden]);
    }
  });
});

async function isLoaded(path: string): Promise<boolean> {
  await using file = await open(path);
  const header = Buffer.alloc(18);
  const { bytesRead } = await file.read(header, 0, header.length, 0);
  return (
    bytesRead === header.length &&
    header.subarray(0, 4).equals(ELF_MAGIC) &&
    LOADED_TYPES.includes(header.readUInt16LE(16)) // e_type
  );
}
