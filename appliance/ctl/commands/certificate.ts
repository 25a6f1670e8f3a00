/** `homing-ctl certificate [retry]`: shows how the relay's certificate is, and has it looked after at once. */
import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { promisify } from "node:util";
import { type CertificateReport, isCertificateReport } from "../../certificate-report.ts";
import { certificateLookedPath, runPaths } from "../../layout.ts";
import { readOthersJson } from "../../others-file.ts";
import { type CtlCommand, CtlUsageError, parseCtlArgs, terminalLine, writeJson } from "../command.ts";
import { ControlError } from "../control-client.ts";

export const certificate: CtlCommand = {
  summary: "show the certificate and what keeps it from being renewed, or try again",
  usage: "certificate [retry] [--json]",
  help: `
Shows which names are certified until when, when the certificate will be renewed, and why not.

  retry     look after it now, as after a start of the relay: for when you have mended something. The
            authority is spared all the same: a quarter of an hour after a failure, longer if it said so.
  --json    print the result for programs
`,
  async run(args, io) {
    const { values, positionals } = parseCtlArgs(args, { json: { type: "boolean", default: false } });
    const [action, ...more] = positionals;
    if (more.length > 0 || (action !== undefined && action !== "retry"))
      throw new CtlUsageError(`there is no “${positionals.join(" ")}”`);
    if (action === "retry") await retry();
    const report = readOthersJson(runPaths.certificateReport, isCertificateReport, (reason) =>
      io.stderr.write(terminalLine(reason)),
    );
    if (report === undefined) {
      throw new ControlError(
        "nothing is known of a certificate of an authority: the settings want none, or the relay has just started",
      );
    }
    if (values.json) writeJson(io, report);
    else io.stdout.write(certificateText(report));
  },
};

async function retry(): Promise<void> {
  await rm(certificateLookedPath, { force: true });
  // Waits for its end: a minute, unless the authority or a name server is slow.
  await promisify(execFile)("systemctl", ["start", "homing-certificates.service"]).catch((error: Error) => {
    throw new ControlError(`the certificate service failed: ${error.message}`);
  });
}

/** For the operator's terminal. The authority, whoever it is, wrote some of it, its account's URL among that. */
export function certificateText(report: CertificateReport): string {
  const time = (at: number) => `${new Date(at).toISOString().slice(0, 16).replace("T", " ")} UTC`;
  const { names, notAfter, renewAt, refused, problem, authority, account } = report;
  const lines = [
    notAfter === null
      ? "The relay shows a certificate that it signed itself."
      : `Certified until ${time(notAfter)}: ${names.join(", ")}.`,
    ...(renewAt === null ? [] : [`It will be renewed on ${time(renewAt)}.`]),
    ...Object.entries(refused).map(([name, text]) => `Left out: ${name}. ${text}`),
    ...(problem === null ? [] : [problem]),
    `Next look: ${time(report.nextLook)}.`,
    `Authority: ${authority}`,
    ...(account === null ? [] : [`Account there (accounturi of a CAA record, RFC 8657): ${account}`]),
  ];
  return lines.map(terminalLine).join("");
}
