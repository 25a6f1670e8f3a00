/** The wizard as a process ends it (installer/wizard/start.ts): a closed terminal, SIGTERM. */
import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { noAnswers } from "../../../installer/wizard/answers.ts";
import { startWizard } from "../../../installer/wizard/start.ts";
import { captureStream } from "../../support/command-io.ts";
import { waitFor } from "../../support/wait.ts";
import { domain, imaginedEffects, usual } from "./imagined-world.ts";

const ENTER = "\r";

it("ends, closed from outside, only when a build that was begun has cleaned up", async () => {
  const steps: string[] = [];
  const kept = { page: "options", answers: { ...noAnswers, domain, place: "pi" } } as const;
  const effects = imaginedEffects({
    relays: async () => ({ ...usual.relays, relays: [{ folder: domain, domain, kept }] }),
    open: async () => ({ ...usual.open, kept }),
    build: (_task, { signal }) =>
      new Promise((_, reject) => {
        steps.push("begun");
        signal.addEventListener("abort", () => {
          setImmediate(() => {
            steps.push("cleaned up");
            reject(signal.reason);
          });
        });
      }),
  });
  const terminal = { isTTY: true, setRawMode() {}, ref() {}, unref() {} };
  const stdin = Object.assign(new PassThrough(), terminal);
  const stdout = Object.assign(captureStream(), { columns: 80, rows: 24, isTTY: true });
  const closed = new AbortController();
  const io = { stdin, stdout, stderr: captureStream(), env: { LANG: "C.UTF-8" }, signal: closed.signal };
  const ran = startWizard(io, effects).catch((reason: unknown) => steps.push(`ended by ${reason}`));
  const shows = (text: string) =>
    waitFor(`it shows ${text}`, 20_000, async () => stdout.text().includes(text));
  await shows("Go on with");
  stdin.write(ENTER);
  await shows("Go on: make the image");
  stdin.write(ENTER);
  await waitFor("the build begins", 20_000, async () => steps.includes("begun"));
  closed.abort("SIGHUP");
  await ran;
  expect(steps).toEqual(["begun", "cleaned up", "ended by SIGHUP"]);
});
