/** Each step of the message's way, when it fails: its own line, a mend, and a verdict that is not well. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type CanaryVerdict, readVerdict } from "../../../appliance/canary.ts";
import { createLog } from "../../../services/lib/log.ts";
import { openKey } from "../../../services/probe/account.ts";
import { writeLetter } from "../../../services/probe/letter.ts";
import { lookAtMail } from "../../../services/probe/mail.ts";
import { problemLines, verdictOf, writeReport } from "../../../services/probe/report.ts";
import { createSteps } from "../../../services/probe/steps.ts";
import { address, type Behaviour, runMail } from "./running-mail.ts";

/** As the program does, with the files that it leaves: verdict.json, and the lines for the console. */
async function run(behaviour: Behaviour | ((folder: () => string) => Behaviour)) {
  let folder = "";
  await using mail = await runMail(typeof behaviour === "function" ? behaviour(() => folder) : behaviour);
  folder = mail.folder;
  const steps = createSteps();
  await steps.guard("submission", () => lookAtMail({ ...mail, steps }));
  const reports = await mkdtemp(join(tmpdir(), "homing-report-"));
  try {
    const at = (name: string) => join(reports, name);
    const paths = { verdict: at("verdict.json"), problem: at("problem"), history: at("h"), metrics: at("m") };
    await writeReport(
      paths,
      verdictOf(steps, 7),
      createLog(() => {}),
    );
    const verdict = readVerdict(await readFile(paths.verdict, "utf8"))!;
    const problem = await readFile(paths.problem, "utf8").catch(() => "");
    return { verdict, problem };
  } finally {
    await rm(reports, { recursive: true });
  }
}

const names = ({ steps }: CanaryVerdict) => steps.map(({ name, ok }) => `${name} ${ok ? "ok" : "failed"}`);

const taken = ["login ok", "submission ok"];
const delivered = [...taken, "delivery ok"];

describe("the canary's message", () => {
  it("is sent, seen by the idle mailbox, read and deleted", async () => {
    const { verdict, problem } = await run({});
    expect(names(verdict)).toEqual([...delivered, "content ok", "removal ok"]);
    expect({ ok: verdict.ok, works: verdict.works, problem }).toEqual({ ok: true, works: true, problem: "" });
  });

  it.each<[string, Behaviour | ((folder: () => string) => Behaviour), string[], RegExp]>([
    [
      "is refused for want of room",
      { refuses: { responseCode: 452, message: "4.3.1 Insufficient system storage" } },
      ["login ok", "submission failed"],
      /^submission: .*452 4\.3\.1 .*make room on the disk$/m,
    ],
    [
      "is refused while the milter is away",
      { refuses: { responseCode: 451, message: "4.7.1 Service unavailable - try again later" } },
      ["login ok", "submission failed"],
      /^submission: .*see `systemctl status homing-milter dovecot`$/m,
    ],
    [
      "is taken and never comes",
      { deliver: () => undefined, patienceMs: 200 },
      [...taken, "delivery failed"],
      /^the message was taken, but did not come within 0\.2 s\. `mailq` says what it waits for/m,
    ],
    [
      "comes in another shape",
      { deliver: (source) => source.replace(/BEGIN PGP MESSAGE/, "BEGIN SOMETHING") },
      [...delivered, "content failed", "removal ok"],
      /^the message cannot be decrypted: the message has no encrypted part\. see `journalctl/m,
    ],
    [
      "comes damaged",
      { deliver: (source) => source.replace(/\n[A-Za-z0-9+/]{60}\r\n/, "\n") },
      [...delivered, "content failed", "removal ok"],
      /^the message cannot be decrypted: .*\. see `journalctl/m,
    ],
    [
      "comes with another content",
      (folder) => ({
        deliver: async (source) => {
          const { raw, messageId } = await writeLetter(address, await openKey(folder()));
          return raw.replace(messageId, /^Message-ID: (.*)\r$/m.exec(source)![1]!);
        },
      }),
      [...delivered, "content failed", "removal ok"],
      /^the message says something else than was sent\. see `journalctl/m,
    ],
    [
      "does not come, but another one",
      { deliver: (source) => source.replace(/^Message-ID: .*\r$/m, "Message-ID: <x@y.example>\r") },
      [...delivered, "content failed", "removal ok"],
      /^the message cannot be read: there is a message, but not the one that was sent\. see/m,
    ],
    [
      "cannot be fetched",
      { fails: { "UID FETCH": "refused" } },
      [...delivered, "content failed", "removal ok"],
      /^the message cannot be read: .*\. see `journalctl/m,
    ],
    [
      "is kept though it was deleted",
      { keepsAll: true },
      [...delivered, "content ok", "removal failed"],
      /^the message is still there after it was deleted\. see `journalctl --unit dovecot`$/m,
    ],
    [
      "cannot be deleted because the mailbox goes away",
      { fails: { "UID STORE": "closed" } },
      [...delivered, "content ok", "removal failed"],
      /^the message cannot be deleted: .*\. see `journalctl --unit dovecot`$/m,
    ],
    [
      "cannot be counted after it was deleted",
      { fails: { STATUS: "refused" } },
      [...delivered, "content ok", "removal failed"],
      /^the message cannot be deleted: .*\. see `journalctl --unit dovecot`$/m,
    ],
    [
      "may not be deleted",
      { fails: { "UID EXPUNGE": "refused" } },
      [...delivered, "content ok", "removal failed"],
      /^the message is still there after it was deleted\. see `journalctl --unit dovecot`$/m,
    ],
  ])("%s", async (_what, behaviour, steps, words) => {
    const { verdict, problem } = await run(behaviour);
    expect(names(verdict)).toEqual(steps);
    expect({ ok: verdict.ok, works: verdict.works }).toEqual({ ok: false, works: false });
    expect(problem).toMatch(words);
    expect(problemLines(verdict)).toHaveLength(1);
    expect(verdict.steps.filter(({ ok, mend }) => !ok && mend === null)).toEqual([]);
  });
});
