import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { realDisk } from "../../../appliance/life/disk.ts";
import { readKeptSettings } from "../../../appliance/life/kept-settings.ts";
import { parseRelayConfig, RelayConfigError, renderRelayToml } from "../../../appliance/relay-config.ts";

const name = "relay.toml";
const text = renderRelayToml("chat.example.org", { contact: "mailto:admin@example.org" });
const other = text.replace("chat.example.org", "other.example.org");

/** A place to keep settings in; `kept` counts how often they were, which is how often they were read anew. */
async function makeKeep() {
  const folder = await mkdtemp(join(tmpdir(), "homing-settings-"));
  const keep = { path: join(folder, "settings"), program: join(folder, "boot.mjs") };
  await writeFile(keep.program, "// version 1\n");
  const said: string[] = [];
  const count = { kept: 0, isFull: false };
  const put: typeof realDisk.put = async (...file) => {
    if (count.isFull) throw new Error("ENOSPC: no space left on device");
    count.kept++;
    await realDisk.put(...file);
  };
  return {
    keep,
    count,
    said,
    read: (toml = text) =>
      readKeptSettings({ toml: Buffer.from(toml), name }, keep, {
        disk: { ...realDisk, put },
        say: (line) => said.push(line),
      }),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

describe("the settings of an earlier start", () => {
  it("are those of relay.toml, which is not read again", async () => {
    await using place = await makeKeep();
    for (let start = 0; start < 3; start++) expect(await place.read()).toEqual(parseRelayConfig(text, name));
    expect(place.count.kept).toBe(1);
  });

  it("are not used once relay.toml or the program is another one", async () => {
    await using place = await makeKeep();
    await place.read();
    expect((await place.read(other)).domain).toBe("other.example.org");
    expect(place.count.kept).toBe(2);
    await writeFile(place.keep.program, "// version 2\n");
    expect((await place.read(other)).domain).toBe("other.example.org");
    expect(place.count.kept).toBe(3);
    await expect(place.read(`${other}\nno_such_setting = 1\n`)).rejects.toThrow(RelayConfigError);
  });

  it("are not used when a byte of them has changed, or some are missing", async () => {
    await using place = await makeKeep();
    await place.read();
    const good = await readFile(place.keep.path, "utf8");
    const wrong = [good.replace("chat.example", "chas.example"), good.slice(0, -10), good.slice(0, 64), ""];
    for (const [index, damaged] of wrong.entries()) {
      expect(damaged).not.toBe(good);
      await writeFile(place.keep.path, damaged);
      expect(await place.read()).toEqual(parseRelayConfig(text, name));
      expect(place.count.kept).toBe(index + 2);
    }
  });

  it("are read anew where the kept ones cannot be read, whatever the error", async () => {
    await using place = await makeKeep();
    const config = parseRelayConfig(text, name);
    // An error at reading alone, as a bad sector makes it: what is written comes in its place.
    await symlink("settings", place.keep.path);
    expect(await place.read()).toEqual(config);
    expect(place.said).toEqual([expect.stringMatching(/^going on without .*ELOOP/)]);
    expect(await place.read()).toEqual(config);
    expect(place.count.kept).toBe(1);
    // And one at both.
    await rm(place.keep.path);
    await mkdir(join(place.keep.path, "x"), { recursive: true });
    expect(await place.read()).toEqual(config);
    expect(place.said.slice(1)).toEqual([
      expect.stringMatching(/^going on without .*EISDIR/),
      expect.stringContaining("cannot be kept for the next start"),
    ]);
  });

  it("are had all the same where nothing can be kept", async () => {
    await using place = await makeKeep();
    place.count.isFull = true;
    expect(await place.read()).toEqual(parseRelayConfig(text, name));
    expect(place.said).toEqual([expect.stringContaining("cannot be kept for the next start")]);
  });
});
