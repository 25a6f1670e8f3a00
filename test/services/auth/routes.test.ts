/** The way that Postfix is told for a recipient elsewhere. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { createRoutes } from "../../../services/auth/routes.ts";
import { createLog } from "../../../services/lib/log.ts";

let logged = "";
const log = createLog((line) => {
  logged += line;
});
const first = (domain: string) => `outgoing-first:[127.0.0.1]:10028,[127.0.0.1]:10030,${domain}`;

it("leads by services/transport to the domain itself, or where it is known to lead", async () => {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "homing-routes-"));
  stack.defer(() => rm(folder, { recursive: true }));
  const path = join(folder, "known-ways");
  const route = createRoutes(path, log);
  expect(route("bob@B.example")).toBe(first("b.example"));
  const write = async (text: string) => {
    await writeFile(`${path}.new`, text);
    await rename(`${path}.new`, path);
  };
  await write("b.example https\nc.example smtp\n");
  expect(route("bob@B.example")).toBe("outgoing:[127.0.0.1]:10026,[127.0.0.1]:10029,b.example");
  expect(route("bob@c.example")).toBe("smtp:");
  expect(route("bob@_b.test")).toBe(first("_b.test"));
  // Nothing else than these two words is taken from the file.
  await write("b.example lmtp:evil\nc.example smtp:[192.0.2.1]\nd.example,evil smtp\n");
  expect(route("bob@b.example")).toBe(first("b.example"));
  expect(route("bob@c.example")).toBe(first("c.example"));
  expect(logged).toBe("");
  // One that cannot be read stops no mail.
  await rm(path);
  await mkdir(path);
  expect(route("bob@b.example")).toBe(first("b.example"));
  expect(logged).toContain("cannot read");
  await rm(path, { recursive: true });
  expect(route("bob@c.example")).toBe(first("c.example"));
});

it.each(["fifo", "folder", "link to a device", "link to itself", "link to a file"])(
  "is that of the unknown, at once, with a %s in place of the file",
  async (kind) => {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "homing-routes-"));
    stack.defer(() => rm(folder, { recursive: true }));
    const path = join(folder, "known-ways");
    await writeFile(join(folder, "file"), "b.example smtp\n");
    if (kind === "fifo") execFileSync("mkfifo", [path]);
    else if (kind === "folder") await mkdir(path);
    else await symlink({ "link to a device": "/dev/zero", "link to itself": path }[kind] ?? "file", path);
    // In a process of its own, which can be ended when it is held up.
    const module = (name: string) =>
      JSON.stringify(new URL(`../../../services/${name}`, import.meta.url).href);
    const program = `import { createRoutes } from ${module("auth/routes.ts")};
import { createLog } from ${module("lib/log.ts")};
const route = createRoutes(${JSON.stringify(path)}, createLog((line) => process.stderr.write(line)));
process.stdout.write(route("bob@b.example") + " " + route("bob@b.example"));`;
    const { stdout, stderr, signal } = spawnSync(
      process.execPath,
      ["--input-type=module", "--max-old-space-size=200", "--eval", program],
      { encoding: "utf8", timeout: 20_000 },
    );
    expect({ stdout, signal }).toEqual({
      stdout: `${first("b.example")} ${first("b.example")}`,
      signal: null,
    });
    expect(stderr.match(/cannot read the ways/g)).toHaveLength(1);
  },
);

it("is that of the unknown while a folder on its way is no folder", async () => {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "homing-routes-"));
  stack.defer(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "transport"), "");
  const route = createRoutes(join(folder, "transport", "known-ways"), log);
  expect(route("bob@b.example")).toBe(first("b.example"));
});

it.each(['"a b"', '"a@b"', '"a<b>"', "a b", "a@b", ".a", "a..b", "a\x01b", "ä"])(
  "is SMTP alone for the name %j, which services/transport would refuse or could not offer",
  (name) => expect(createRoutes("/nonexistent", log)(`${name}@b.example`)).toBe("relay:"),
);

it.each(["[127.0.0.1]", "[192.0.2.1]", "[IPv6:::1]", "[::1]", "[127.1]"])(
  "is left to Postfix for the address literal %s, which may be its own",
  (domain) => expect(createRoutes("/nonexistent", log)(`bob@${domain}`)).toBeUndefined(),
);

it.each([
  "*",
  "bob",
  "bob@",
  "@b.example",
  "bob@a,b.example",
  "bob@a b.example",
  "bob@.example",
  "bob@a.example:25",
  "@",
])("is none for %j", (address) => {
  expect(createRoutes("/nonexistent", log)(address)).toBeUndefined();
});
