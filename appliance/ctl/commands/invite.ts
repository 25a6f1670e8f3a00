/** `homing-ctl invite create|list|revoke`: makes invitations, lists and withdraws them. */
import type { Invite } from "../../invite.ts";
import { qrText } from "../../qr-text.ts";
import { type CtlCommand, type CtlIo, CtlUsageError, parseCtlArgs, writeJson } from "../command.ts";

const secondsOf: Readonly<Record<string, number>> = { m: 60, h: 3_600, d: 86_400, w: 604_800 };

export const invite: CtlCommand = {
  summary: "invite people: make invitations, list them, withdraw them",
  usage: "invite create [--uses N] [--expires TIME] [--note TEXT] | list | revoke ID [--json]",
  help: `
  create            makes an invitation and prints its link and a QR code to scan. Whoever opens the link gets an
                    account, as often as the invitation says. Only this once: the relay does not keep the link
  list              what was made: number, uses left, until when, note
  revoke ID         withdraws an invitation. Accounts that it made go on

  --uses N          how many accounts it is good for (1)
  --expires TIME    until when: 30m, 12h, 7d or 4w from now (for ever)
  --note TEXT       for whom it is; only you see it
  --json            print the result for programs

Invitations count while sign-up is by invitation only: homing-ctl sign-up invite
`,
  async run(args, io) {
    const { values, positionals } = parseCtlArgs(args, {
      uses: { type: "string" },
      expires: { type: "string" },
      note: { type: "string" },
      json: { type: "boolean", default: false },
    });
    const [action, id, ...more] = positionals;
    if (more.length > 0 || (action !== "revoke" && id !== undefined))
      throw new CtlUsageError("too many arguments: a note of several words needs quotes");
    const { json, ...wanted } = values;
    if (action !== "create" && Object.keys(wanted).length > 0)
      throw new CtlUsageError("--uses, --expires and --note are for create");
    switch (action) {
      case "create":
        return create(io, wanted, json);
      case "list":
        return list(io, json);
      case "revoke": {
        if (id === undefined || !/^\d{1,15}$/.test(id))
          throw new CtlUsageError("revoke needs the number of an invitation: see homing-ctl invite list");
        const answer = await io.ask("DELETE", `/invites/${id}`);
        if (json) writeJson(io, answer);
        else io.stdout.write(`Invitation ${id} is withdrawn.\n`);
        return;
      }
      default:
        throw new CtlUsageError(
          action === undefined ? "say create, list or revoke" : `there is no “${action}”`,
        );
    }
  },
};

type Wanted = { uses?: string | undefined; expires?: string | undefined; note?: string | undefined };

async function create(io: CtlIo, { uses = "1", expires, note }: Wanted, json: boolean): Promise<void> {
  if (!/^\d{1,6}$/.test(uses)) throw new CtlUsageError("--uses takes a number");
  const [, amount, unit] = /^(\d{1,6})([mhdw])$/.exec(expires ?? "0m") ?? [];
  if (amount === undefined) throw new CtlUsageError("--expires takes a time like 30m, 12h, 7d or 4w");
  const until = Math.floor(io.now()) + Number(amount) * secondsOf[unit!]!;
  const answer = await io.ask("POST", "/invites", {
    uses,
    ...(expires !== undefined && { expires: String(until) }),
    ...(note !== undefined && { note }),
  });
  if (json) {
    writeJson(io, answer);
    return;
  }
  const link = String(answer.link);
  io.stdout.write(
    `${link}\n\n${qrText(link, io.stdout.isTTY === true)}\n\nInvitation ${answer.id}: ${usesText(answer as unknown as Invite)}.\n`,
  );
  const { mode } = await io.ask("GET", "/sign-up");
  if (mode === "open") io.stdout.write("Sign-up is open: until that changes, nobody needs an invitation.\n");
  if (mode === "closed") io.stdout.write("Sign-up is closed: until that changes, no invitation counts.\n");
}

async function list(io: CtlIo, json: boolean): Promise<void> {
  const { invites } = (await io.ask("GET", "/invites")) as { invites: Invite[] };
  if (json) {
    writeJson(io, invites);
    return;
  }
  if (invites.length === 0) io.stdout.write("There are no invitations.\n");
  const width = Math.max(...invites.map(({ id }) => String(id).length));
  for (const one of invites) {
    const isOver = one.expires !== null && one.expires <= io.now();
    const state = one.usesLeft === 0 ? "used up" : isOver ? "expired" : usesText(one);
    const note = one.note === "" ? "" : `  ${one.note}`;
    io.stdout.write(`${String(one.id).padStart(width)}  made ${timeText(one.created)}  ${state}${note}\n`);
  }
}

function usesText({ uses, usesLeft, expires }: Invite): string {
  const accounts = uses === 1 ? "good for one account" : `good for ${usesLeft} of ${uses} accounts`;
  return expires === null ? accounts : `${accounts} until ${timeText(expires)}`;
}

/** In UTC, as the device's clock and log are. */
function timeText(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
