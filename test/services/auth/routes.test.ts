/** The way that Postfix is told for a recipient elsewhere. */
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { createRoutes } from "../../../services/auth/routes.ts";
import { createLog } from "../../../services/lib/log.ts";

let logged = "";
const log = createLog((line) => {
  logged += line;
});
const first = (domain: string) => `outgoing-first:[127.0.0.1]:10028,[127.0.0.1]:10028,${domain}`;

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
  expect(route("bob@B.example")).toBe("outgoing:[127.0.0.1]:10026,[127.0.0.1]:10026,b.example");
  expect(route("bob@c.example")).toBe("smtp:");
  expect(route("bob@[192.0.2.1]")).toBe(first("[192.0.2.1]"));
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

it.each(["*", "bob", "bob@", "bob@a,b.example", "bob@a b.example", "bob@.example", "bob@a.example:25", "@"])(
  "is none for %j",
  (address) => {
    expect(createRoutes("/nonexistent", log)(address)).toBeUndefined();
  },
);
