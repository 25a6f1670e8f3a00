/** How long a provider takes to publish reaches the wait for it (installer/dns/watch.ts), from command and wizard. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { WatchOptions } from "../../../installer/dns/watch.ts";
import { createRelayFolder } from "../../../installer/relay-folder.ts";
import { noAnswers } from "../../../installer/wizard/answers.ts";
import { dnsEffects } from "../../../installer/wizard/dns-effects.ts";
import { runHoming } from "../../support/command-io.ts";
import { runFake } from "../../support/dns-providers/fake-provider.ts";
import { fakeGandi } from "../../support/dns-providers/gandi.ts";

const { watched } = vi.hoisted(() => ({ watched: [] as (number | undefined)[] }));
vi.mock("../../../installer/dns/watch.ts", () => ({
  watchDns: async (_: unknown, { publicationMinutes }: WatchOptions) => {
    watched.push(publicationMinutes);
    return { done: 0, total: 0, report: { findings: [], works: true } };
  },
}));

const domain = "chat.rosegarden.net";
let home: string;
let folder: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "homing-watch-"));
  folder = join(home, domain);
  await createRelayFolder(folder, domain);
});
afterAll(async () => {
  vi.unstubAllGlobals();
  await rm(home, { recursive: true });
});

it("by ./homing dns apply", async () => {
  const fake = fakeGandi("rosegarden.net", []);
  vi.stubGlobal("fetch", runFake(fake).fetch);
  const file = join(home, "credentials");
  await writeFile(file, `token = ${fake.credentials.token}\n`, { mode: 0o600 });
  const access = ["--provider", "gandi", "--credentials", file, "--yes"];
  const { code, stderr } = await runHoming(["dns", "apply", folder, ...access, "--address", "198.35.26.96"]);
  expect([code, stderr.includes("Back-up of the zone")]).toEqual([0, true]);
  expect(watched.splice(0)).toEqual([20]);
});

it.each([
  ["namecom", 15],
  ["desec", undefined],
  [undefined, undefined],
])("by the wizard, at %s: %s minutes", async (provider, minutes) => {
  const answers = { ...noAnswers, domain, addresses: ["198.35.26.96"], provider };
  const { effects } = dnsEffects({
    dns: { resolvers: [], https: [], roots: [], port: 1, nowhere: "127.0.0.99" },
  });
  const follow = { report: () => {}, signal: new AbortController().signal };
  await effects.watch({ kind: "watch", folder, answers, awaited: [] }, follow);
  expect(watched.splice(0)).toEqual([minutes]);
});
