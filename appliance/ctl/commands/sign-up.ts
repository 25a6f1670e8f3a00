/** `homing-ctl sign-up [MODE]`: shows or changes who may make an account. */
import { signUpModes } from "../../sign-up-modes.ts";
import { type CtlCommand, CtlUsageError, parseCtlArgs, writeJson } from "../command.ts";

const meaning: Readonly<Record<string, string>> = {
  open: "open: whoever finds the relay gets an account",
  invite: "invite: only whoever has an invitation gets an account (homing-ctl invite create)",
  closed: "closed: nobody gets an account",
};

export const signUp: CtlCommand = {
  summary: "show or change who may make an account: everybody, those invited, nobody",
  usage: `sign-up [${signUpModes.join("|")}] [--json]`,
  help: `
Without a mode, says which one is in force. A mode counts at once and over restarts, until sign_up.mode in
relay.toml is changed to another value. Accounts that exist go on in every mode.

  open      whoever finds the relay gets an account, by logging in with a new name or by its web page
  invite    only whoever has an invitation gets an account
  closed    nobody gets an account
  --json    print the result for programs
`,
  async run(args, io) {
    const { values, positionals } = parseCtlArgs(args, { json: { type: "boolean", default: false } });
    const [mode, ...more] = positionals;
    if (more.length > 0) throw new CtlUsageError("one mode at a time");
    if (mode !== undefined && !signUpModes.some((known) => known === mode))
      throw new CtlUsageError(`there is no mode “${mode}”`);
    const answer =
      mode === undefined ? await io.ask("GET", "/sign-up") : await io.ask("PUT", "/sign-up", { mode });
    if (mode !== undefined) await io.renewStatus();
    if (values.json) {
      writeJson(io, answer);
      return;
    }
    const current = String(answer.mode);
    io.stdout.write(`Sign-up is ${meaning[current] ?? current}.\n`);
    if (answer.mode !== answer.settings)
      io.stdout.write(`relay.toml says “${answer.settings}”; changing it there ends this choice.\n`);
  },
};
