/** The sizes of downloads that README and help tell, beside what the lock files say. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readLock } from "../../image/packages/lock.ts";
import { command } from "../../installer/commands/build.ts";

const project = join(import.meta.dirname, "../..");
const read = (path: string) => readFileSync(join(project, path), "utf8").replace(/\s+/g, " ");
const readme = read("README.md");
/** A renewed lock file is some megabytes more or less, which "about" covers. */
const ABOUT_MEGABYTES = 10;

/** The number that a pattern finds in a text, in megabytes. */
function figure(text: string, pattern: RegExp): number {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`${pattern} is not in the text any more`);
  return Number(found);
}

describe("the sizes that the texts tell", () => {
  it.each(["amd64", "arm64"] as const)(
    "are about those of the Debian packages locked for %s",
    (architecture) => {
      const bytes = readLock().architectures[architecture].reduce((sum, { size }) => sum + size, 0);
      const told = [
        figure(readme, /downloads Debian packages \(about (\d+) MB/),
        figure(command.help.replace(/\s+/g, " "), /fetches Debian packages \(about (\d+) MB/),
      ];
      for (const megabytes of told) {
        expect(Math.abs(megabytes - bytes / 1e6), `${megabytes} MB told`).toBeLessThanOrEqual(
          ABOUT_MEGABYTES,
        );
      }
    },
  );

  it("are those of the npm package of Node", () => {
    const pinned = [...read("image/packages/node-runtime.ts").matchAll(/packageBytes: ([\d_]+)/g)].map(
      ([, bytes]) => Math.floor(Number(bytes!.replaceAll("_", "")) / 1e6),
    );
    expect(pinned).toHaveLength(2);
    const told = [
      figure(readme, /and (\d+) MB of Node/),
      figure(command.help.replace(/\s+/g, " "), /this computer \((\d+) MB\)/),
    ];
    for (const megabytes of told) expect(pinned).toContain(megabytes);
  });

  it("are the same for node_modules in the README and at the first start", () => {
    const start = figure(read("installer/install-packages.mjs"), /into node_modules \(once, about (\d+) MB/);
    expect(figure(readme, /into `node_modules` \((\d+) MB\)/)).toBe(start);
  });
});
