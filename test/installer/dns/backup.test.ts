/** Back-ups of zones and the way back to them (installer/dns/backup.ts, apply.ts), over a zone in memory. */
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyUndo, planUndo } from "../../../installer/dns/apply.ts";
import { noteFinished, readBackup, writeBackup } from "../../../installer/dns/backup.ts";
import { apply, set, zone } from "./applied.ts";
import { memoryProvider } from "./memory-provider.ts";

describe("a back-up", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-backup-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("comes back from its file as it was, and is open to all, for the DNS is", async () => {
    const { kept } = await apply(zone, memoryProvider(zone, [set(`blog.${zone}`, "A", "3.3.3.3")]));
    const path = await writeBackup(folder, kept!);
    expect(await readBackup(path)).toEqual(kept);
    if (process.platform !== "win32") expect((await stat(path)).mode & 0o777).toBe(0o644);
    await expect(writeBackup(folder, kept!)).rejects.toThrow("EEXIST");
    const cut = { ...kept!, made: kept!.made + 1000, finished: false };
    const cutPath = await writeBackup(folder, cut);
    await noteFinished(cutPath);
    expect(await readBackup(cutPath)).toEqual({ ...cut, finished: true });
  });

  it("leaves alone what somebody else has changed since", async () => {
    const provider = memoryProvider(zone, []);
    const { kept } = await apply(zone, provider);
    await provider.change(zone, [set(zone, "A", "3.3.3.3")]);
    const steps = await planUndo(kept!, provider);
    const others = steps.filter(({ state }) => state === "changed since");
    expect(others.map(({ change }) => `${change.after.name} ${change.after.type}`)).toEqual([`${zone} A`]);
    await applyUndo(kept!, steps, provider);
    expect(provider.content()).toEqual([set(zone, "A", "3.3.3.3")].map((each) => ({ ...each, ttl: 3600 })));
  });

  it("does not bring back what its owner has removed since, in whole or in part", async () => {
    const old = set(zone, "TXT", '"site=1"', '"site=2"');
    const provider = memoryProvider(zone, [old, set(`www.${zone}`, "CNAME", "blog.elsewhere.test.")]);
    const { kept } = await apply(zone, provider);
    await provider.change(zone, [
      { ...old, values: ['"site=1"', '"v=spf1 a ~all"'] },
      { ...set(`www.${zone}`, "CNAME"), values: [] },
    ]);
    const steps = await planUndo(kept!, provider);
    const names = steps.flatMap(({ state, change }) =>
      state === "changed since" ? [`${change.after.name} ${change.after.type}`] : [],
    );
    expect(names.sort()).toEqual([`${zone} TXT`, `www.${zone} CNAME`]);
    await applyUndo(kept!, steps, provider);
    expect(provider.content().map(({ name, type, values }) => [name, type, ...values])).toEqual([
      [zone, "TXT", '"site=1"', '"v=spf1 a ~all"'],
    ]);
  });

  it("takes a set that was emptied for somebody's work also when it was cut off itself", async () => {
    const old = set(zone, "A", "22.33.44.55");
    const provider = memoryProvider(zone, [old]);
    const { kept } = await apply(zone, provider);
    await provider.change(zone, [{ ...old, values: [] }]);
    const steps = await planUndo({ ...kept!, finished: false }, provider);
    expect(steps.find(({ change }) => change.after.type === "A")?.state).toBe("changed since");
  });

  it("tells a finished change from one that was cut off", async () => {
    const old = set(zone, "A", "22.33.44.55");
    const provider = memoryProvider(zone, [old]);
    const { kept } = await apply(zone, provider);
    await provider.change(zone, [{ ...old, values: ["11.22.33.44", "22.33.44.55"] }]);
    const stateOf = async (finished: boolean) =>
      (await planUndo({ ...kept!, finished }, provider)).find(({ change }) => change.after.type === "A")
        ?.state;
    expect([await stateOf(false), await stateOf(true)]).toEqual(["restore", "changed since"]);
  });

  it("leaves alone what somebody else changes while the owner thinks", async () => {
    const provider = memoryProvider(zone, []);
    const { kept } = await apply(zone, provider);
    const steps = await planUndo(kept!, provider);
    await provider.change(zone, [set(zone, "A", "3.3.3.3")]);
    expect(await applyUndo(kept!, steps, provider)).toHaveLength(steps.length - 1);
    expect(provider.content().map(({ values }) => values)).toEqual([["3.3.3.3"]]);
  });

  it.each<[what: string, text: string]>([
    ["no JSON", "{"],
    ["another file", '{"format":"something"}'],
    [
      "sets of no form",
      '{"format":"homing-zone-backup-1","made":"2026-01-01T00:00:00.000Z","provider":"x","zone":"x","sets":[],"changes":[{}]}',
    ],
  ])("is refused when it is %s", async (_what, text) => {
    const path = join(folder, "wrong.json");
    await writeFile(path, text);
    await expect(readBackup(path)).rejects.toMatchObject({
      name: "BackupError",
      message: expect.stringContaining(path),
    });
  });

  it("is looked for where apply keeps them, when there is none of that name", async () => {
    await expect(readBackup(join(folder, "none.json"))).rejects.toMatchObject({
      name: "BackupError",
      message: expect.stringMatching(/^there is no back-up .*none\.json; .*dns-backup-TIME\.json$/),
    });
  });
});
