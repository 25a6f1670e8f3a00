/**
 * A real terminal for programs that ask questions: tmux(1), with a server of its own for each. What stands on the screen
 * is read as text, and kept as a file to look at.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { appendFile, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { runCommand } from "./commands.ts";
import { waitFor } from "./wait.ts";

/** Why there is no terminal; undefined when there is. For `describe.skipIf`. */
export const missingTmux = spawnSync("tmux", ["-V"]).error === undefined ? undefined : "needs tmux";

export type Terminal = AsyncDisposable &
  Readonly<{
    /** The screen's lines, without the space behind them. */
    screen(): Promise<string>;
    /** Waits until the text stands on the screen, keeps the screen, and gives it. */
    shows(text: string, timeout?: number): Promise<string>;
    /** Keys by tmux's names ("Enter", "Escape", "Up", "C-c"); any other text is typed as it is. */
    type(...keys: string[]): Promise<void>;
    /** As when the window is closed: the program gets SIGHUP. */
    close(): Promise<void>;
  }>;

export type TerminalOptions = Readonly<{
  command: readonly string[];
  cwd: string;
  env?: Readonly<Record<string, string>>;
  columns?: number;
  rows?: number;
  /** All screens that were waited for are written behind what is in it. */
  framesFile?: string;
}>;

const SHOW_TIMEOUT = 30_000;
const namedKey = /^(?:Enter|Escape|Up|Down|Left|Right|BSpace|PageUp|PageDown|Tab|C-[a-z])$/;

export async function startTerminal(options: TerminalOptions): Promise<Terminal> {
  const { command, cwd, env = {}, columns = 80, rows = 24, framesFile } = options;
  const server = `homing-${process.pid}-${randomBytes(4).toString("hex")}`;
  const tmux = (...words: string[]) => runCommand(["tmux", "-L", server, ...words]);
  // The shell stays when the program has ended, so that its last words can be read.
  const line = `${command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ")}; echo "ended with $?"; exec cat`;
  const variables = Object.entries({ LANG: "C.UTF-8", ...env }).flatMap(([name, value]) => [
    "-e",
    `${name}=${value}`,
  ]);
  await tmux(
    "-f",
    "/dev/null",
    "new-session",
    "-d",
    "-x",
    String(columns),
    "-y",
    String(rows),
    "-c",
    cwd,
    ...variables,
    line,
  );
  if (framesFile !== undefined) await mkdir(dirname(framesFile), { recursive: true });
  const screen = async () => {
    const { stdout } = await tmux("capture-pane", "-p");
    return stdout.replaceAll(/[ \t]+$/gm, "");
  };
  let open = true;
  const close = async () => {
    if (!open) return;
    open = false;
    await runCommand(["tmux", "-L", server, "kill-server"], { anyExitCode: true });
  };
  return {
    screen,
    async shows(text, timeout = SHOW_TIMEOUT) {
      let last = "";
      await waitFor(`the terminal shows “${text}”`, timeout, async () => {
        last = await screen();
        if (!last.includes(text)) throw new Error(`it shows\n${last}`);
        return true;
      });
      if (framesFile !== undefined)
        await appendFile(framesFile, `${"─".repeat(columns)}\n${last.trimEnd()}\n`);
      return last;
    },
    async type(...keys) {
      for (const key of keys) await tmux("send-keys", ...(namedKey.test(key) ? [] : ["-l"]), key);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
