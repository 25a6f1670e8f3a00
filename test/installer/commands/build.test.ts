/** What ./homing build and vm say to wrong arguments; ring 3 runs what they do. */
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Built } from "../../../installer/build-relay.ts";
import { summary } from "../../../installer/commands/build.ts";
import { runHoming } from "../../support/command-io.ts";
import { makeSmallImage } from "../../support/small-image.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-commands-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("./homing build", () => {
  it.each([
    [["build"], "which relay?"],
    [["build", "relay"], "for which machine? --target vm or --target pi"],
    [["build", "relay", "--target", "pc"], "there is no target “pc”"],
    [["build", "relay", "other", "--target", "vm"], "unexpected argument “other”"],
    [["build", "relay", "--tarket", "vm"], "--tarket"],
  ])("%j is a wrong use", async (args, text) => {
    const { code, stderr } = await runHoming(args);
    expect(code).toBe(2);
    expect(stderr).toContain(text);
    expect(stderr).toContain("Usage: ./homing build FOLDER --target vm|pi");
  });

  it.each([
    [["--compress", "--out", "a.img"], "needs a name that ends in .zst, like a.img.zst"],
    [["--out", "a.img.zst"], "a name that ends in .zst is for another kind of file: give --compress"],
    [["--format", "qcow2", "--out", "a.img"], "needs a name that ends in .qcow2"],
    [["--format", "vmdk", "--out", "a.qcow2"], "is for another kind of file: give --format qcow2"],
    [["--format", "vhdx"], "there is no format “vhdx”"],
    [["--format", "qcow2", "--compress"], "not both"],
    [["--format", "qcow2", "--target", "pi"], "is for virtual machines"],
  ])("wants a name that tells what kind of file it is: %j", async (options, text) => {
    const { code, stderr } = await runHoming(["build", "relay", "--target", "vm", ...options]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(text)]);
  });

  it("--json says on standard output, as JSON, what is wrong", async () => {
    const place = join(folder, "nothing");
    const { code, stdout } = await runHoming(["build", place, "--target", "vm", "--json"]);
    expect(code).toBe(1);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { event: "error", name: expect.stringMatching(/Error$/), message: expect.stringContaining(place) },
    ]);
  });

  it.each([
    [["build", "relay", "--json", "--tarket", "vm"], "--tarket"],
    [["build", "--json"], "which relay?"],
    [["audit", "a.img", "--jsonn", "--json"], "--jsonn"],
    [["cache", "x", "--json"], "unexpected argument"],
    [["lock", "x", "--json"], "unexpected argument"],
    [["keys", "shwo", "x", "--json"], "shwo"],
  ])("--json tells wrong usage as JSON too: %j", async (args, text) => {
    const { code, stdout, stderr } = await runHoming(args);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toEqual({
      ...{ event: "error", name: "UsageError" },
      message: expect.stringContaining(text),
    });
    expect(stderr).toContain("Usage: ");
  });

  it("sends the owner of a test relay to no DNS", () => {
    const image = { path: "/x.img", bytes: 1, sha256: "0", packed: undefined, rootfs: { bytes: 1 } };
    const built = { image, sbom: "s", packages: undefined, records: "x/dns-records.txt", notes: [] };
    const text = (domain: string) => summary({ domain, ...built } as unknown as Built, "vm", "raw");
    expect(text("chat.example.org")).toContain("publish the relay's DNS records");
    expect(text("_try.test")).not.toMatch(/publish|dns-records/);
    expect(text("_try.test")).toContain("Its screen says how Delta Chat logs in");
  });

  it("--json behind “--” is no option", async () => {
    expect(await runHoming(["build", "--", "a", "--json"])).toMatchObject({ code: 2, stdout: "" });
  });

  it("--json tells a build that was stopped", async () => {
    const relay = join(folder, "stopped");
    await runHoming(["init", "_a.test", "--dir", relay]);
    const args = ["build", relay, "--target", "vm", "--json", "--out", join(folder, "stopped.img")];
    const { code, stdout } = await runHoming(args, AbortSignal.abort("SIGINT"));
    expect(code).toBe(130);
    const last = stdout.trimEnd().split("\n").at(-1)!;
    expect(JSON.parse(last)).toEqual({ event: "error", name: "Stopped", message: "build was stopped" });
  });

  it("says that a folder is no relay folder, and makes no image", async () => {
    const { code, stderr } = await runHoming(["build", join(folder, "nothing"), "--target", "vm"]);
    expect(code).toBe(1);
    expect(stderr).toContain(join(folder, "nothing"));
    expect(stderr).not.toContain("nobody foresaw");
  });
});

describe("./homing build --out", () => {
  let relay: string;
  beforeAll(async () => {
    relay = join(folder, "relay");
    await runHoming(["init", "_a.test", "--dir", relay]);
  });

  it.each(["relay.toml", "new.img", "keys/new.img"])(
    "refuses %s in the relay folder and leaves it",
    async (name) => {
      const before = await readFile(join(relay, "relay.toml"), "utf8");
      const { code, stdout, stderr } = await runHoming([
        "build",
        relay,
        "--target",
        "vm",
        "--out",
        join(relay, name),
      ]);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toContain(`the image cannot lie in the relay folder ${relay}`);
      expect(await readFile(join(relay, "relay.toml"), "utf8")).toBe(before);
    },
  );

  it("knows the relay folder by any other name", async () => {
    await symlink(relay, join(folder, "alias"));
    await symlink(join(relay, "relay.toml"), join(folder, "link.img"));
    for (const out of ["alias/relay.toml", "link.img"]) {
      const { code, stderr } = await runHoming([
        "build",
        relay,
        "--target",
        "vm",
        "--out",
        join(folder, out),
      ]);
      expect([code, stderr]).toEqual([2, expect.stringContaining("cannot lie in the relay folder")]);
    }
  });

  it.skipIf(process.platform !== "linux").each<[name: string, options: string[]]>([
    ["x.img", []],
    ["x.img.zst", ["--compress"]],
    ["x.qcow2", ["--format", "qcow2"]],
    ["x.img", ["--refresh"]],
  ])(
    "refuses %s with %j in a folder that takes no files before anything is fetched",
    async (name, options) => {
      // A mirror that nobody asks: the answer would be about it.
      const mirror = ["--mirror", "http://127.0.0.1:1/debian"];
      const args = ["build", relay, "--target", "vm", "--out", `/proc/${name}`, ...options, ...mirror];
      const { code, stdout, stderr } = await runHoming(args);
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(
        /^homing: no image can be written to the folder \/proc: .* Give another place with --out\.\n$/,
      );
    },
  );

  it("looks for what would be lost beside the image itself, not beside a link to it", async () => {
    const image = join(folder, "real.img");
    await makeSmallImage(image);
    await symlink(image, join(folder, "to-real.img"));
    const notes = `${image}.cdx.json`;
    await writeFile(notes, "my notes");
    const out = ["--out", join(folder, "to-real.img"), "--cache", join(folder, "cache")];
    const mirror = ["--mirror", "http://127.0.0.1:9"];
    const { code, stderr } = await runHoming(["build", relay, "--target", "vm", ...out, ...mirror]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining(`${notes} exists and is no bill of materials of an image`),
    ]);
    expect(await readFile(notes, "utf8")).toBe("my notes");
  });

  it("refuses a file that is no image, a folder and a missing folder before any work", async () => {
    const file = join(folder, "letter");
    await writeFile(file, "dear");
    for (const [out, text] of [
      [file, "no disk image made by Homing"],
      [folder, "is a folder"],
      [join(folder, "none/a.img"), "there is no folder"],
    ] as const) {
      const { code, stderr } = await runHoming(["build", relay, "--target", "vm", "--out", out]);
      expect([code, stderr]).toEqual([1, expect.stringContaining(text)]);
      expect(stderr).toMatch(/^homing: .*\n$/); // one line: no stage had begun
    }
    expect(await readFile(file, "utf8")).toBe("dear");
  });
});

describe("./homing vm", () => {
  it("wants a folder or an image", async () => {
    expect(await runHoming(["vm"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("which relay?"),
    });
  });

  it("refuses a file that is no disk image", async () => {
    const file = join(folder, "text.img");
    await writeFile(file, "no disk");
    const { code, stderr } = await runHoming(["vm", file]);
    expect(code).toBe(1);
    expect(stderr).toContain(`${file} is not a disk image`);
  });

  it("says when there is nothing at the path", async () => {
    const { code, stderr } = await runHoming(["vm", join(folder, "missing.img")]);
    expect(code).toBe(1);
    const path = join(folder, "missing.img");
    expect(stderr).toContain(
      `neither a relay folder nor an image ${path}. Make the folder with ./homing init`,
    );
  });
});
