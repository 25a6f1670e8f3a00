import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { realDisk } from "../../../appliance/life/disk.ts";
import { importRelay } from "../../../appliance/life/import-relay.ts";
import {
  disconnectedDisk,
  dkimPem,
  makePartitions,
  makeTlsPem,
  type Partitions,
  PowerCut,
  putFiles,
  relayFiles,
  textOf,
} from "./relay-on-fat.ts";

const run = ({ from, to }: Partitions, disk = realDisk) => importRelay({ from, to, disk });

async function expectImported({ from, to }: Partitions): Promise<void> {
  expect(existsSync(from)).toBe(false);
  for (const [path, content] of Object.entries(relayFiles)) {
    expect(await textOf(join(to, path)), path).toBe(content);
    expect((await stat(join(to, path))).mode & 0o777, path).toBe(0o600);
  }
}

describe("the import of a relay folder", () => {
  it("moves settings and keys to the data partition and removes them from the boot partition", async () => {
    await using partitions = await makePartitions();
    expect(await run(partitions)).toBe("imported");
    await expectImported(partitions);
    expect(await run(partitions)).toBe("nothing");
    await expectImported(partitions);
  });

  it("overwrites the keys before it removes them", async () => {
    await using partitions = await makePartitions();
    const key = join(partitions.from, "keys", "tls.pem");
    const overwritten: string[] = [];
    await run(partitions, {
      ...realDisk,
      wipe: async (path) => {
        // A second name for the same bytes shows what is left on the medium.
        const { link } = await import("node:fs/promises");
        if (path === key) await link(path, join(partitions.folder, "medium"));
        await realDisk.wipe(path);
        overwritten.push(path);
      },
    });
    const left = await readFile(join(partitions.folder, "medium"), "latin1");
    expect(left).toHaveLength(relayFiles["keys/tls.pem"]!.length);
    expect(left).not.toContain("PRIVATE KEY");
    expect(overwritten).toHaveLength(5);
  });

  describe.each(["before", "within", "after"] as const)("with the power cut %s an operation", (when) => {
    it("is carried on by the next boot, and never without a whole copy of every key", async () => {
      let operations = 0;
      for (let finished = false; !finished; operations++) {
        await using partitions = await makePartitions();
        const { from, to } = partitions;
        try {
          await run(partitions, disconnectedDisk(realDisk, operations, when));
          finished = true;
        } catch (error) {
          expect(error).toBeInstanceOf(PowerCut);
        }
        for (const [path, content] of Object.entries(relayFiles)) {
          const copies = [await textOf(join(from, path)), await textOf(join(to, path))];
          expect(copies, `${path} after ${operations} operations`).toContain(content);
        }
        await run(partitions);
        await expectImported(partitions);
      }
      // 4 files, a folder and the mark written, 5 files and 2 folders removed.
      expect(operations).toBeGreaterThanOrEqual(12);
    });

    it("comes to the same end after two cuts", async () => {
      for (let first = 0; first < 14; first += 2) {
        for (let second = 0; second < 14; second += 6) {
          await using partitions = await makePartitions();
          for (const operation of [first, second]) {
            await run(partitions, disconnectedDisk(realDisk, operation, when)).catch((error) =>
              expect(error).toBeInstanceOf(PowerCut),
            );
          }
          await run(partitions);
          await expectImported(partitions);
        }
      }
    });
  });

  describe("when there is a relay already", () => {
    it("takes over changed settings of the same relay", async () => {
      await using partitions = await makePartitions();
      await run(partitions);
      const changed = `${relayFiles["relay.toml"]}contact = "me@a.example"\n`;
      await putFiles(partitions.from, { "relay.toml": changed });
      expect(await run(partitions)).toBe("imported");
      expect(await textOf(join(partitions.to, "relay.toml"))).toBe(changed);
      expect(await textOf(join(partitions.to, "keys/tls.pem"))).toBe(relayFiles["keys/tls.pem"]);
    });

    it("wipes the same keys once more when the image was written again", async () => {
      await using partitions = await makePartitions();
      await run(partitions);
      await putFiles(partitions.from, relayFiles);
      expect(await run(partitions)).toBe("imported");
      await expectImported(partitions);
    });

    it("takes a new DKIM key beside the old one when the selector changes", async () => {
      await using partitions = await makePartitions();
      await run(partitions);
      const settings = `${relayFiles["relay.toml"]}[dkim]\nselector = "next"\n`;
      await putFiles(partitions.from, { "relay.toml": settings, "keys/dkim-next.pem": dkimPem });
      await run(partitions);
      expect(await readdir(join(partitions.to, "keys"))).toEqual(
        expect.arrayContaining(["dkim-homing1.pem", "dkim-next.pem"]),
      );
    });

    it.each([
      [
        "another domain",
        { "relay.toml": 'domain = "other.example.org"\n' },
        /chat\.example\.org.*other\.example\.org/s,
      ],
      ["another key of the same name", { "keys/tls.pem": makeTlsPem() }, /keys\/tls\.pem.*differs/],
    ])("refuses %s, and changes nothing on either side", async (_what, change, text) => {
      await using partitions = await makePartitions();
      await run(partitions);
      const offered = { ...relayFiles, ...change };
      await putFiles(partitions.from, offered);
      await expect(run(partitions)).rejects.toThrow(text);
      for (const [path, content] of Object.entries(offered)) {
        expect(await textOf(join(partitions.from, path))).toBe(content);
        expect(await textOf(join(partitions.to, path))).toBe(relayFiles[path]);
      }
    });
  });

  it.each([
    ["no relay.toml", { "keys/tls.pem": makeTlsPem() }, /no relay\.toml/],
    ["a wrong relay.toml", { ...relayFiles, "relay.toml": 'domain = "192.0.2.1"' }, /domain/],
    [
      "a damaged key",
      { ...relayFiles, "keys/tls.pem": "-----BEGIN PRIVATE KEY-----\nxx" },
      /tls\.pem.*damaged/,
    ],
    [
      "no DKIM key of the selector",
      { ...relayFiles, "relay.toml": `${relayFiles["relay.toml"]}[dkim]\nselector = "x"` },
      /keys\/dkim-x\.pem/,
    ],
    [
      "no DKIM key of the next selector",
      { ...relayFiles, "relay.toml": `${relayFiles["relay.toml"]}[dkim]\nnext_selector = "x"` },
      /keys\/dkim-x\.pem/,
    ],
    ["something else among the keys", { ...relayFiles, "keys/notes.txt": "x" }, /notes\.txt/],
    ["a huge file", { ...relayFiles, "relay.toml": "#".repeat(100_000) }, /100000 bytes/],
  ])("refuses %s and takes nothing over", async (_what, files, text) => {
    await using partitions = await makePartitions(files);
    await expect(run(partitions)).rejects.toThrow(text);
    expect(await readdir(partitions.to)).toEqual([]);
    expect(await textOf(join(partitions.from, "keys/tls.pem"))).toBe(
      (files as Record<string, string>)["keys/tls.pem"],
    );
  });

  it("does nothing without a folder", async () => {
    await using partitions = await makePartitions({});
    expect(await run(partitions)).toBe("nothing");
  });

  it("wipes whatever else lies in the folder, too", async () => {
    await using partitions = await makePartitions();
    await mkdir(join(partitions.from, "more", "deep"), { recursive: true });
    await writeFile(join(partitions.from, "more", "deep", "copy.pem"), dkimPem);
    await run(partitions);
    await expectImported(partitions);
  });
});
