/**
 * The wizard in a real terminal, from its first screen to a finished image: real name servers, a stand-in of deSEC, the
 * cached root file system. It is interrupted by Ctrl-C and by a closed terminal, and given a wrong token, and goes on each time. All screens of
 * 80×24 are kept in test/output/boot/wizard-frames.txt.
 */
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { missingServers } from "../installer/dns/name-servers.ts";
import { answer, publishAtDesec, tryWrongToken, untilAddress } from "../support/newcomer.ts";
import { missingTmux, startTerminal, type Terminal } from "../support/terminal.ts";
import { startWizardWorld, type WizardWorld } from "../support/wizard-world.ts";

const missing = missingTmux ?? missingServers;
const framesFile = join(import.meta.dirname, "..", "output", "boot", "wizard-frames.txt");
const zone = "rose.test";
const domain = `chat.${zone}`;
/** The stand-in publishes at once; a check under load takes seconds. */
const WATCH_TIMEOUT = 120_000;
/** With everything in the cache; a first build beside other tests takes longer. */
const BUILD_TIMEOUT = 600_000;

describe.skipIf(missing)(`the wizard${missing ? ` (${missing})` : ""}`, () => {
  let folder: string;
  let world: WizardWorld;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-wizard-"));
    await rm(framesFile, { force: true });
    world = await startWizardWorld(folder, zone);
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const start = (): Promise<Terminal> =>
    startTerminal({
      command: [process.execPath, "--disable-warning=ExperimentalWarning", ...world.words],
      cwd: folder,
      framesFile,
    });

  it("leads from nothing to an image in twelve answers at most, through two interruptions", async () => {
    let answers = 0;
    {
      await using terminal = await start();
      answers += await answer(terminal, untilAddress(domain));
      await answer(terminal, [["Public address:", "C-c"]]);
      expect(await terminal.shows("ended with 130")).toContain(`./homing goes on with ${domain}`);
    }
    const goOn = [[`❯ Go on with ${domain}`, "Enter"]] as const;
    {
      await using terminal = await start();
      await answer(terminal, goOn);
      await tryWrongToken(terminal);
      answers += await publishAtDesec(terminal, world.token);
      await terminal.shows("All name servers show all records", WATCH_TIMEOUT);
      // The window is closed.
    }
    await using terminal = await start();
    await answer(terminal, goOn);
    answers += await answer(terminal, [
      ["❯ Go on: make the image", "Enter"],
      ["❯ libvirt", "Enter"],
    ]);
    // Stopped and begun anew: the one leaves nothing, the other goes on with what was fetched.
    await answer(terminal, [["Making the image", "Escape"]]);
    await terminal.shows("Stopped: no image was made", BUILD_TIMEOUT);
    expect((await readdir(folder)).filter((name) => name.includes(`${domain}-vm`))).toEqual([]);
    await answer(terminal, [["❯ libvirt", "Enter"]]);
    await terminal.shows("The image is made", BUILD_TIMEOUT);
    await terminal.shows("virt-install --import");
    answers += await answer(terminal, [["❯ Finish", "Enter"]]);
    expect(await terminal.shows("ended with 0")).toMatch(/[▀▄█]{20}/);
    expect(answers).toBeLessThanOrEqual(12);

    const image = join(folder, `${domain}-vm.qcow2`);
    expect((await stat(image)).size).toBeGreaterThan(100_000_000);
    const kept = await readFile(join(folder, domain, "wizard.json"), "utf8");
    expect(JSON.parse(kept)).toMatchObject({
      page: "image",
      answers: { dns: "published", provider: "desec" },
    });
    // Of the token nothing is left: in no file, on no screen.
    const files = await readdir(join(folder, domain), { recursive: true, withFileTypes: true });
    for (const file of files.filter((entry) => entry.isFile()))
      expect(await readFile(join(file.parentPath, file.name), "utf8")).not.toContain(world.token);
    expect(await readFile(framesFile, "utf8")).not.toContain(world.token);
  });
});
