/**
 * Starts the wizard: `./homing` without arguments, in a terminal. Called by installer/main.ts. Loads Ink only when it
 * is needed, and everything that a task needs only with the task, so that the first screen is there at once.
 */
import type { CommandIo } from "../command.ts";
import type { Effects } from "./effects.ts";
import { loadInk } from "./load-ink.ts";
import { lookOf } from "./look.ts";
import { pending } from "./pending.ts";
import type { State } from "./state.ts";

export type WizardTerminal = CommandIo & Readonly<{ stdin: NodeJS.ReadableStream & { isTTY?: boolean } }>;

/** A terminal that does not say how wide it is, or says 0 as script(1) and serial lines do. */
const USUAL_COLUMNS = 80;

/** Resolves to the exit code: 0 when the way was gone to its end, 130 when the person left by Ctrl-C. */
export async function startWizard(terminal: WizardTerminal, effects: Effects): Promise<number> {
  // React without its checks for developers: a sixth less to load.
  process.env.NODE_ENV ??= "production";
  const { render } = await loadInk();
  const [{ createElement }, { App }] = await Promise.all([import("react"), import("./app.ts")]);
  const { stdin, stdout, stderr, env, signal } = terminal;
  const look = lookOf(env, process.platform);
  const working = pending(effects);
  let saved: Promise<void> = Promise.resolve();
  const instance = render(
    createElement(App, {
      effects: working.effects,
      look,
      keep: (folder, kept) => {
        saved = saved.then(() => effects.save(folder, kept));
        saved.catch((error) => instance.unmount(error));
        return saved;
      },
    }),
    { stdin, stdout, stderr, exitOnCtrlC: false, interactive: true, patchConsole: false },
  );
  const stop = () => instance.unmount();
  signal.addEventListener("abort", stop);
  try {
    const state = (await instance.waitUntilExit()) as State | undefined;
    await saved;
    if (signal.aborted) await working.end();
    if (state === undefined) signal.throwIfAborted();
    if (state === undefined) throw new Error("the wizard ended without a word");
    const { endingText } = await import("./ending.ts");
    const columns = (stdout as { columns?: number }).columns || USUAL_COLUMNS;
    stdout.write(endingText(state, look, columns));
    return state.ended === "done" ? 0 : LEFT;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** As a shell has it for what SIGINT ended. */
const LEFT = 130;
