/** What scripts are told of a build (installer/build-relay.ts, commands/build.ts), whose image is another test's. */
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { isAbsolute, join, relative } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { BuildOptions } from "../../image/build.ts";
import { createRelayFolder } from "../../installer/relay-folder.ts";
import { runHoming } from "../support/command-io.ts";

const paths = ["path", "sbom", "dnsRecords"];
vi.mock("../../image/build.ts", () => ({
  targets: { vm: {}, pi: {} },
  buildImage: async ({ out }: BuildOptions) => ({
    ...{ path: out, bytes: 1, sha256: "0", packed: undefined },
    rootfs: { bytes: 1, sha256: "0", reused: true, sbom: Buffer.from("{}") },
  }),
}));

let home: string;
beforeAll(async () => {
  home = await realpath(await mkdtemp(join(tmpdir(), "homing-told-")));
  await createRelayFolder(join(home, "relay"), "_a.test");
});
afterAll(() => rm(home, { recursive: true }));

it("names files by absolute paths, however the folder was named", async () => {
  const folder = relative(process.cwd(), join(home, "relay"));
  const out = join(home, "a.img");
  const { code, stdout } = await runHoming(["build", folder, "--target", "vm", "--json", "--out", out]);
  const told = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
  expect([code, told.event]).toEqual([0, "done"]);
  expect(paths.filter((name) => !isAbsolute(told[name]))).toEqual([]);
  expect(told.dnsRecords).toBe(join(home, "relay/dns-records.txt"));
});
