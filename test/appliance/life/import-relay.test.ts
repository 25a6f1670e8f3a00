import { existsSync } from "node:fs";
import { cp, readdir, readFile, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { realDisk } from "../../../appliance/life/disk.ts";
import { importRelay } from "../../../appliance/life/import-relay.ts";
import { maxRelayFileBytes, parseRelayConfig } from "../../../appliance/relay-config.ts";
import { beginRotation, endRotation } from "../../../installer/dkim-rotation.ts";
import { createRelayFolder } from "../../../installer/relay-folder.ts";
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
const imported = { kind: "imported", ignored: [] };

async function expectImported({ from, to }: Partitions): Promise<void> {
  expect(existsSync(from)).toBe(false);
  for (const [path, content] of Object.entries(relayFiles)) {
    expect(await textOf(join(to, path)), path).toBe(content);
    expect((await stat(join(to, path))).mode & 0o777, path).toBe(0o600);
  }
}

describe("the import of a relay folder", () => {
  it("brings the operator's page files, and takes away those that are gone", async () => {
    const pages = { "web/theme.css": "a", "web/de/home.md": "b", "web/logo.svg": "c" };
    await using partitions = await makePartitions({ ...relayFiles, ...pages });
    await putFiles(partitions.from, { "web/.DS_Store": "x", "web/Thumbs.db": "x", "web/notes.doc": "x" });
    expect(await run(partitions)).toEqual({
      kind: "imported",
      ignored: ["web/.DS_Store", "web/Thumbs.db", "web/notes.doc"],
    });
    await expectImported(partitions);
    for (const [path, content] of Object.entries(pages)) {
      expect(await textOf(join(partitions.to, path))).toBe(content);
    }
    expect(existsSync(join(partitions.to, "web/notes.doc"))).toBe(false);
    await putFiles(partitions.from, { ...relayFiles, "web/de/home.md": "d" });
    await run(partitions);
    expect((await readdir(join(partitions.to, "web"), { recursive: true })).sort()).toEqual([
      "de",
      "de/home.md",
    ]);
    expect(await textOf(join(partitions.to, "web/de/home.md"))).toBe("d");
    // Without such a folder, as somebody brings who only changes a setting, the pages stay.
    await putFiles(partitions.from, relayFiles);
    await run(partitions);
    expect(await textOf(join(partitions.to, "web/de/home.md"))).toBe("d");
  });

  it.each([
    [
      "too many page files",
      Object.fromEntries([...Array(65).keys()].map((i) => [`web/p${i}.md`, ""])),
      /65 files/,
    ],
    [
      "a page where the relay itself answers",
      { "web/en/new.md": "x" },
      /“web” on the boot partition holds en\/new\.md: at \/new the relay itself answers/,
    ],
    ["a language that is none", { "web/en-v2/home.md": "x" }, /“en-v2” names no language/],
    ["a page file that is too large", { "web/a.png": "x".repeat(524_289) }, /a\.png of 524289 bytes/],
    [
      "page files that are too large together",
      Object.fromEntries([...Array(5).keys()].map((i) => [`web/${i}.png`, "x".repeat(500_000)])),
      /2500000 bytes, at most 2097152/,
    ],
  ])("refuses %s and leaves both sides as they were", async (_what, pages, message) => {
    await using partitions = await makePartitions({ ...relayFiles, ...pages });
    await expect(run(partitions)).rejects.toThrow(message);
    expect(await readdir(partitions.to)).toEqual([]);
    expect(await textOf(join(partitions.from, "relay.toml"))).toBe(relayFiles["relay.toml"]);
  });

  it("refuses a symbolic link among the page files", async () => {
    await using partitions = await makePartitions({ ...relayFiles, "web/home.md": "a" });
    await symlink("../keys/tls.pem", join(partitions.from, "web", "key.txt"));
    await expect(run(partitions)).rejects.toThrow(/symbolic link key\.txt/);
    expect(await readdir(partitions.to)).toEqual([]);
  });

  it("moves settings and keys to the data partition and removes them from the boot partition", async () => {
    await using partitions = await makePartitions();
    expect(await run(partitions)).toEqual(imported);
    await expectImported(partitions);
    expect(await run(partitions)).toEqual({ kind: "nothing" });
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
      expect(await run(partitions)).toEqual(imported);
      expect(await textOf(join(partitions.to, "relay.toml"))).toBe(changed);
      expect(await textOf(join(partitions.to, "keys/tls.pem"))).toBe(relayFiles["keys/tls.pem"]);
    });

    it("wipes the same keys once more when the image was written again", async () => {
      await using partitions = await makePartitions();
      await run(partitions);
      await putFiles(partitions.from, relayFiles);
      expect(await run(partitions)).toEqual(imported);
      await expectImported(partitions);
    });

    it("takes a new DKIM key beside the old one, and wipes the old one when it is withdrawn", async () => {
      await using partitions = await makePartitions();
      await run(partitions);
      const keysThere = async () => (await readdir(join(partitions.to, "keys"))).sort();
      const next = `${relayFiles["relay.toml"]}[dkim]\nnext_selector = "next"\n`;
      await putFiles(partitions.from, { "relay.toml": next, "keys/dkim-next.pem": dkimPem });
      await run(partitions);
      const others = ["acme-account.pem", "tls.pem"];
      expect(await keysThere()).toEqual([...others, "dkim-homing1.pem", "dkim-next.pem"].sort());
      const retired = `${relayFiles["relay.toml"]}[dkim]\nselector = "next"\n`;
      await putFiles(partitions.from, { "relay.toml": retired });
      const wiped: string[] = [];
      await run(partitions, {
        ...realDisk,
        wipe: async (path) => {
          wiped.push(path);
          await realDisk.wipe(path);
        },
      });
      expect(await keysThere()).toEqual([...others, "dkim-next.pem"].sort());
      expect(wiped).toContain(join(partitions.to, "keys", "dkim-homing1.pem"));
    });

    it.each(["before", "within", "after"] as const)(
      "loses no key that is needed when the power goes %s a step of the withdrawal",
      async (when) => {
        const retired = `${relayFiles["relay.toml"]}[dkim]\nselector = "next"\n`;
        for (let operation = 0, finished = false; !finished; operation++) {
          await using partitions = await makePartitions();
          await run(partitions);
          await putFiles(partitions.from, { "relay.toml": retired, "keys/dkim-next.pem": dkimPem });
          await run(partitions, disconnectedDisk(realDisk, operation, when)).then(
            () => {
              finished = true;
            },
            (error) => expect(error).toBeInstanceOf(PowerCut),
          );
          const settings = await textOf(join(partitions.to, "relay.toml"));
          const selector = settings === retired ? "next" : "homing1";
          expect(await textOf(join(partitions.to, `keys/dkim-${selector}.pem`))).toBe(dkimPem);
          await run(partitions);
          expect((await readdir(join(partitions.to, "keys"))).sort()).toEqual([
            "acme-account.pem",
            "dkim-next.pem",
            "tls.pem",
          ]);
          expect(existsSync(partitions.from)).toBe(false);
        }
      },
    );

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
    expect(await run(partitions)).toEqual({ kind: "nothing" });
  });

  it("takes no notice of what people's computers put into the folder, wipes it, and names it", async () => {
    await using partitions = await makePartitions({
      ...relayFiles,
      "dns-records.txt": "records",
      ".DS_Store": "x",
      "keys/made-for": "chat.example.org\n",
      "keys/._tls.pem": "resource fork",
      "keys/Thumbs.db": "x",
      "keys/desktop.ini": "x",
      "keys/dkim-homing9.pem": dkimPem,
      "more/deep/copy.pem": dkimPem,
      "more/deep/film.bin": "x".repeat(200_000),
    });
    const wiped: string[] = [];
    const outcome = await run(partitions, {
      ...realDisk,
      wipe: async (path) => {
        wiped.push(path);
        await realDisk.wipe(path);
      },
    });
    const ignored = [
      ".DS_Store",
      "dns-records.txt",
      "keys/._tls.pem",
      "keys/Thumbs.db",
      "keys/desktop.ini",
      "keys/dkim-homing9.pem",
      "keys/made-for",
      "more",
      "more/deep",
      "more/deep/copy.pem",
      "more/deep/film.bin",
    ];
    expect(outcome).toEqual({ kind: "imported", ignored });
    expect(wiped).toEqual(expect.arrayContaining([join(partitions.from, "keys/dkim-homing9.pem")]));
    await expectImported(partitions);
    expect((await readdir(join(partitions.to, "keys"))).sort()).toEqual([
      "acme-account.pem",
      "dkim-homing1.pem",
      "tls.pem",
    ]);
  });

  it("takes the folder as its owner has it: made, its DKIM key changed, the old one withdrawn, copied whole", async () => {
    await using partitions = await makePartitions({});
    const relay = join(partitions.folder, "relay");
    const bring = () => cp(relay, partitions.from, { recursive: true });
    const keysThere = async () => (await readdir(join(partitions.to, "keys"))).sort();
    await createRelayFolder(relay, "chat.example.org");
    for (const [change, selectors] of [
      [async () => {}, ["homing1"]],
      [() => beginRotation(relay), ["homing1", "homing2"]],
      [() => endRotation(relay, null), ["homing2"]],
    ] as const) {
      await change();
      await bring();
      expect(await run(partitions)).toMatchObject({ kind: "imported" });
      expect(existsSync(partitions.from)).toBe(false);
      const dkim = selectors.map((selector) => `dkim-${selector}.pem`);
      expect(await keysThere()).toEqual(["acme-account.pem", ...dkim, "tls.pem"]);
      for (const name of ["relay.toml", "keys/tls.pem", ...dkim.map((key) => `keys/${key}`)]) {
        expect(await textOf(join(partitions.to, name)), name).toBe(await textOf(join(relay, name)));
      }
    }
  });

  it("reads a relay.toml that an editor on Windows saved, with its mark at the beginning", async () => {
    const settings = `\u{feff}${relayFiles["relay.toml"]}`;
    await using partitions = await makePartitions({ ...relayFiles, "relay.toml": settings });
    expect(await run(partitions)).toEqual(imported);
    // And once more, against what is there.
    await putFiles(partitions.from, { "relay.toml": settings });
    expect(await run(partitions)).toEqual(imported);
  });

  it("takes every relay.toml that the builder takes, however many bytes its letters have", async () => {
    const room = maxRelayFileBytes - Buffer.byteLength(relayFiles["relay.toml"]!) - 2;
    const settings = `${relayFiles["relay.toml"]}#${"й".repeat(room >> 1)}\n`;
    expect(parseRelayConfig(settings, "relay.toml").domain).toBe("chat.example.org");
    await using partitions = await makePartitions({ ...relayFiles, "relay.toml": settings });
    expect(await run(partitions)).toEqual(imported);
    const more = `${settings}#${"й".repeat(4)}\n`;
    expect(() => parseRelayConfig(more, "relay.toml")).toThrow("bytes, at most 65536 are allowed");
    await using others = await makePartitions({ ...relayFiles, "relay.toml": more });
    await expect(run(others)).rejects.toThrow("bytes, at most 65536 are allowed");
  });
});
