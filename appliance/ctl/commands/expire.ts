/** `homing-ctl expire [--dry-run]`: has the relay delete now what is old, or say what it would delete. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { runPaths } from "../../layout.ts";
import { readOthersJson } from "../../others-file.ts";
import { isReaperReport, type ReaperReport } from "../../reaper-report.ts";
import { type CtlCommand, CtlUsageError, parseCtlArgs, terminalLine, writeJson } from "../command.ts";
import { ControlError } from "../control-client.ts";

export const expire: CtlCommand = {
  summary: "delete old messages and idle accounts now, as the relay does every day, or see what would go",
  usage: "expire [--dry-run] [--json]",
  help: `
Deletes what relay.toml says is old: messages by age, large ones earlier, the oldest of mailboxes that are
nearly full, accounts without a login for too long. The relay does so once a day by itself.

  --dry-run   delete nothing, say what would go
  --json      print the result for programs
`,
  async run(args, io) {
    const { values, positionals } = parseCtlArgs(args, {
      "dry-run": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    });
    if (positionals.length > 0) throw new CtlUsageError(`there is no “${positionals.join(" ")}”`);
    const dryRun = values["dry-run"];
    // Waits for its end: seconds, on a large relay with a slow card minutes.
    await promisify(execFile)("systemctl", [
      "start",
      `homing-reaper@${dryRun ? "dry-run" : "expire"}.service`,
    ]).catch((error: Error) => {
      throw new ControlError(`it failed: ${error.message.trim()}; see \`journalctl -t homing-reaper\``);
    });
    const path = dryRun ? runPaths.reaperWould : runPaths.reaperReport;
    const report = readOthersJson(path, isReaperReport, (reason) => io.stderr.write(terminalLine(reason)));
    if (report === undefined) throw new ControlError("it left no report; see `journalctl -t homing-reaper`");
    if (values.json) writeJson(io, report);
    else io.stdout.write(reportText(report));
  },
};

const reasons: Readonly<Record<keyof ReaperReport["removed"], string>> = {
  age: "old",
  large: "large and not quite so old",
  full: "the oldest of mailboxes that are nearly full",
  room: "the oldest of the largest mailboxes, since the disk is nearly full",
  unfinished: "left over from deliveries that were cut off",
};

/** For the operator's terminal. */
export function reportText(report: ReaperReport): string {
  const { removed, accounts, dryRun, mailboxes, refusal, seconds } = report;
  const verb = dryRun ? "would be deleted" : "deleted";
  const lines = Object.entries(removed)
    .filter(([, { messages }]) => messages > 0)
    .map(
      ([reason, { messages, bytes }]) =>
        `${count(messages, "message")} ${verb} (${sizeText(bytes)}): ${reasons[reason as keyof typeof reasons]}`,
    );
  if (accounts.idle > 0) lines.push(`${count(accounts.idle, "account")} ${verb}: no login for too long`);
  if (accounts.asked > 0) lines.push(`${count(accounts.asked, "account")} ${verb}: somebody asked for it`);
  if (lines.length === 0) lines.push(dryRun ? "Nothing would be deleted." : "Nothing was to be deleted.");
  if (refusal !== undefined) lines.unshift(`Nothing goes by its age: ${refusal}.`);
  lines.push(`Looked at ${count(mailboxes, "mailbox", "mailboxes")} in ${seconds.toFixed(1)} s.`);
  return lines.map(terminalLine).join("");
}

function count(number: number, one: string, more = `${one}s`): string {
  return `${number} ${number === 1 ? one : more}`;
}

function sizeText(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.ceil(bytes / 1_000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
