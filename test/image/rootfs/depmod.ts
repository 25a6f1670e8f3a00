/** Kernel modules laid out for depmod, and its files compared with ours one by one. Used by the tests of the index. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect } from "vitest";

/** Lays a kernel's modules out as on the device; returns the folder to give to depmod -b. */
export async function layOutKernel(
  scratch: string,
  name: string,
  release: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<{ base: string; folder: string }> {
  const base = join(scratch, name);
  const folder = join(base, "lib/modules", release);
  for (const [path, content] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return { base, folder };
}

/** Every key of a binary index with its values in order, whatever the order of the nodes in the file. */
function decodeTrie(file: Buffer): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const visit = (reference: number, before: string): void => {
    let at = reference & 0x0fff_ffff;
    const text = (): string => {
      const end = file.indexOf(0, at);
      const start = at;
      at = end + 1;
      return file.toString("latin1", start, end);
    };
    const key = before + (reference & 0x8000_0000 ? text() : "");
    const children: [string, number][] = [];
    if (reference & 0x2000_0000) {
      const [first, last] = [file[at]!, file[at + 1]!];
      at += 2;
      for (let character = first; character <= last; character++, at += 4) {
        const child = file.readUInt32BE(at);
        if (child !== 0) children.push([key + String.fromCharCode(character), child]);
      }
    }
    if (reference & 0x4000_0000) {
      const count = file.readUInt32BE(at);
      at += 4;
      const values = Array.from({ length: count }, () => {
        const priority = file.readUInt32BE(at);
        at += 4;
        return `${priority} ${text()}`;
      });
      found.set(key, values);
    }
    for (const [name, child] of children) visit(child, name);
  };
  expect(file.readUInt32BE(0)).toBe(0xb007f457);
  visit(file.readUInt32BE(8), "");
  return found;
}

/** What the kernel's packages bring; all else in its folder that is called modules.* is made by depmod. */
export const PACKAGED_INDEX = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

/** Compares with the files that depmod put into `folder`: every one, and no other. */
export async function expectSameAsDepmod(
  index: ReadonlyMap<string, Uint8Array>,
  folder: string,
): Promise<void> {
  const made = (await readdir(folder)).filter(
    (name) => name.startsWith("modules.") && !PACKAGED_INDEX.includes(name),
  );
  expect([...index.keys()]).toEqual(expect.arrayContaining(made));
  for (const [name, content] of index) {
    // depmod writes this one since kmod 33.
    if (name === "modules.weakdep" && !existsSync(join(folder, name))) continue;
    const theirs = await readFile(join(folder, name));
    const ours = Buffer.from(content);
    if (name.endsWith(".bin")) expect(decodeTrie(ours), name).toEqual(decodeTrie(theirs));
    // depmod lists symbols in the order of a hash table.
    else if (name === "modules.symbols") expect(lines(ours).sort(), name).toEqual(lines(theirs).sort());
    else if (name === "modules.devname" && ours.length === 0) expect(lines(theirs).length).toBeLessThan(2);
    else expect(lines(ours), name).toEqual(lines(theirs));
  }
}

const lines = (bytes: Buffer) => bytes.toString("latin1").split("\n").filter(Boolean);
