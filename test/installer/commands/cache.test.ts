/** `./homing cache` as a user runs it; what it removes is tested in test/image/cache-contents.test.ts. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { nonceSecret } from "../../../installer/reachability/nonce-secret.ts";
import { runHoming } from "../../support/command-io.ts";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "homing-cache-command-"));
  mkdirSync(join(cache, "packages"));
  const old = join(cache, "packages", "0123456789abcdef-pigeon_1_all.deb");
  writeFileSync(old, Buffer.alloc(1_500_000));
  utimesSync(old, new Date(0), new Date(0));
  writeFileSync(join(cache, "packages", "0123456789abcdef-dove_1_all.deb"), Buffer.alloc(500_000));
});
afterEach(() => rmSync(cache, { recursive: true }));

it("shows what is there and what is needed, and removes the rest when told to", async () => {
  expect(await runHoming(["cache", "--cache", cache])).toEqual({
    code: 0,
    stderr: "",
    stdout:
      `Cache: ${cache}\n` +
      `${" ".repeat(22)}there      needed\n` +
      "Debian packages   2, 2.0 MB   1, 0.5 MB\n" +
      "together          2, 2.0 MB   1, 0.5 MB\n" +
      "./homing cache --prune removes what is not needed: 1, 1.5 MB.\n",
  });
  const pruned = await runHoming(["cache", "--prune", "--cache", cache]);
  expect([pruned.code, pruned.stdout]).toEqual([0, expect.stringMatching(/\nRemoved: 1, 1\.5 MB\.\n$/)]);
  expect(readdirSync(join(cache, "packages"))).toEqual(["0123456789abcdef-dove_1_all.deb"]);
  expect((await runHoming(["cache", "--cache", cache])).stdout).toMatch(/\nNothing can be removed\.\n$/);
});

it("gives scripts one JSON object a line", async () => {
  const { code, stdout } = await runHoming(["cache", "--prune", "--json", "--cache", cache]);
  expect(code).toBe(0);
  const events = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events[0]).toEqual({
    event: "kind",
    kind: "packages",
    all: { items: 1, bytes: 500_000 },
    needed: { items: 1, bytes: 500_000 },
    removed: { items: 1, bytes: 1_500_000 },
  });
  expect(events.at(-1)).toMatchObject({ event: "done", directory: cache, removed: { items: 1 } });
});

it("knows the secret of the forwarded ports, which pruning leaves, from a stranger's file", async () => {
  const secret = await nonceSecret(cache);
  writeFileSync(join(cache, "letter"), "dear");
  const { code, stdout } = await runHoming(["cache", "--prune", "--cache", cache]);
  expect([code, stdout]).toEqual([
    0,
    expect.stringMatching(/\nforwarded ports {4}1, 0\.0 MB {3}1, 0\.0 MB\n/),
  ]);
  expect(stdout).toMatch(/\nnot Homing's own {3}1, /);
  expect(await nonceSecret(cache)).toEqual(secret);
});

it("explains a wrong call", async () => {
  expect(await runHoming(["cache", "all"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("unexpected argument “all”"),
  });
});
