/**
 * `./homing web preview FOLDER`: shows a relay's web pages on this computer, anew at every change.
 */
import { type SignUpMode, signUpModes } from "../../appliance/sign-up-modes.ts";
import { type Command, type CommandIo, parseCommandArgs, print, UsageError } from "../command.ts";
import { startPreview } from "../web-preview.ts";

/** Where it is looked for first; any other when it is taken. */
const usualPort = 8080;

export const command: Command = {
  name: "web",
  summary: "show a relay's web pages on this computer while you change them",
  usage: "web preview FOLDER [--port PORT] [--sign-up MODE]",
  help: `
Shows the web pages of the relay in FOLDER (made by ./homing init) at an address of this computer, which it prints;
nobody else can reach it. The pages are those of Homing, and over them, file by file, what lies in FOLDER/web: home.md,
info.md and privacy.md in a folder for each language (en, de), more pages of your own, theme.css for colours,
logo.svg. An empty file takes a page away. After every change the browser loads the page again.

  --port PORT      the port to listen on (default: ${usualPort}, or another one if that is taken)
  --sign-up MODE   as if sign-up were “open”, “invite” or “closed” (default: as relay.toml says)

Ctrl-C ends it. The pages come to the relay with its folder, by a new image or on its boot partition.
`,
  run,
};

async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommandArgs(args, {
    port: { type: "string" },
    "sign-up": { type: "string" },
  });
  const [action, folder, surplus] = positionals;
  if (action !== "preview")
    throw new UsageError(action ? `there is no action “${action}”` : "what to do? preview");
  if (folder === undefined) throw new UsageError("which relay? Give its folder");
  if (surplus !== undefined) throw new UsageError(`unexpected argument “${surplus}”`);
  const port = values.port === undefined ? undefined : portOf(values.port);
  const mode = values["sign-up"] === undefined ? undefined : modeOf(values["sign-up"]);
  const options = {
    folder,
    note: (text: string) => void io.stderr.write(`${text.trimEnd()}\n`),
    ...(mode && { mode }),
  };
  const preview = await startPreview({ ...options, port: port ?? usualPort }).catch((error) => {
    if (port !== undefined || (error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    return startPreview({ ...options, port: 0 });
  });
  await print(io.stdout, `${preview.url}\n`);
  io.stderr.write("Ctrl-C ends the preview.\n");
  if (!io.signal.aborted) {
    await new Promise((resolve) => io.signal.addEventListener("abort", resolve, { once: true }));
  }
  await preview.close();
  return 0;
}

function portOf(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new UsageError(`“${text}” is no port: a number from 0 to 65535`);
}

function modeOf(text: string): SignUpMode {
  const mode = signUpModes.find((known) => known === text);
  if (mode !== undefined) return mode;
  throw new UsageError(`“${text}” is no way to sign up: ${signUpModes.join(", ")}`);
}
