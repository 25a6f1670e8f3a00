/** `homing-ctl account list|show|block|unblock|delete`: the accounts of this relay, and what the operator does to one. */
import type { AccountState, ListedAccount } from "../../account-states.ts";
import {
  type CtlCommand,
  type CtlIo,
  CtlUsageError,
  parseCtlArgs,
  terminalLine,
  writeJson,
} from "../command.ts";
import { ControlError } from "../control-client.ts";
import type { LastLogins, LoginDay } from "../last-logins.ts";
import { treatQueued } from "../queue.ts";
import { countSessions, endSessions, mailboxSize } from "../sessions.ts";

/** Deletes what belongs to accounts that are leaving, and then their names (services/reaper). */
const reaperUnit = "homing-reaper@leaving.service";

export const account: CtlCommand = {
  summary: "list accounts, show one, block or unblock it, delete it",
  usage: "account list | show ADDRESS | block ADDRESS | unblock ADDRESS | delete ADDRESS [--yes] [--json]",
  help: `
  list              all accounts: made on, last logged in on, state, address
  show ADDRESS      the same of one, and how much is in its mailbox
  block ADDRESS     nobody can log in to it any more, and mail for it is refused. It is not deleted however
                    long that lasts; its mail is when it is too old. Sessions that are open end, and what it
                    sent and still waits in the queue is held back: it takes room until you unblock or delete
  unblock ADDRESS   takes that back; counts as a login. What was held back goes out
  delete ADDRESS    deletes the account with all of its mail, at once and for good. Its name is then free

  --yes             delete without asking
  --json            print the result for programs; of a list, a line for each account. Days are Unix seconds,
                    null when there was none or it is not known

An address that begins with “-” stands behind “--”: account show -- -ADDRESS
A state is “active”, “blocked”, or “leaving” while it is being deleted.
`,
  async run(args, io) {
    const { values, positionals } = parseCtlArgs(args, {
      yes: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    });
    const [action, address, ...more] = positionals;
    if (more.length > 0 || (action === "list" && address !== undefined))
      throw new CtlUsageError("too many arguments: one account at a time");
    if (values.yes && action !== "delete") throw new CtlUsageError("--yes is for delete");
    if (action === "list") return list(io, values.json);
    const act = action !== undefined && Object.hasOwn(acts, action) ? acts[action] : undefined;
    if (act === undefined) {
      throw new CtlUsageError(
        action === undefined ? "say list, show, block, unblock or delete" : `there is no “${action}”`,
      );
    }
    if (address === undefined) throw new CtlUsageError(`${action} needs an address`);
    await act(io, address, values);
  },
};

/** Accounts of a list whose days are asked for together. */
const BATCH = 500;

type Act = (io: CtlIo, address: string, options: { yes: boolean; json: boolean }) => Promise<void>;

const acts: Readonly<Record<string, Act>> = { show, block, unblock, delete: deleteAccount };

async function list(io: CtlIo, json: boolean): Promise<void> {
  using lastLogins = openLastLogins(io);
  if (!json) io.stdout.write("MADE        LAST LOGIN  STATE    ADDRESS\n");
  const write = async (accounts: readonly ListedAccount[]) => {
    const days = await lastLogins.read(accounts);
    for (const [i, { address, createdDay, state }] of accounts.entries()) {
      const lastLogin = days[i]!;
      if (json) writeJson(io, { address, createdDay, lastLoginDay: dayOrNull(lastLogin), state });
      else {
        const columns = [dayText(createdDay), dayText(lastLogin)].map((text) => text.padEnd(10));
        io.stdout.write(terminalLine(`${columns.join("  ")}  ${state.padEnd(7)}  ${address}`));
      }
    }
  };
  const gathered: ListedAccount[] = [];
  try {
    for await (const line of io.askLines("/accounts")) {
      gathered.push(line as ListedAccount);
      if (gathered.length === BATCH) await write(gathered.splice(0));
    }
  } finally {
    // Also what came before the list broke off.
    await write(gathered);
  }
}

/** Everything that is known of it. @throws ControlError */
async function look(io: CtlIo, given: string) {
  const { address, createdDay, state } = await ask(io, "GET", given);
  using lastLogins = openLastLogins(io);
  const [{ messages, bytes }, sessions, [lastLogin = "unknown"]] = await Promise.all([
    mailboxSize(io, address),
    countSessions(io, address),
    lastLogins.read([{ address, createdDay }]),
  ]);
  return {
    address,
    createdDay,
    lastLogin,
    state,
    messages,
    bytes,
    sessions,
  };
}

async function show(io: CtlIo, given: string, { json }: { json: boolean }): Promise<void> {
  const seen = await look(io, given);
  const { lastLogin, ...others } = seen;
  if (json) writeJson(io, { ...others, lastLoginDay: dayOrNull(lastLogin) });
  else io.stdout.write(seenText(seen));
}

function seenText(seen: Awaited<ReturnType<typeof look>>): string {
  return [
    seen.address,
    `State:       ${meaning[seen.state]}`,
    `Made on:     ${dayText(seen.createdDay)}`,
    `Last login:  ${dayText(seen.lastLogin)}`,
    `Mailbox:     ${sizeText(seen)}`,
    `Sessions:    ${seen.sessions}`,
  ]
    .map(terminalLine)
    .join("");
}

const meaning: Readonly<Record<AccountState, string>> = {
  active: "active",
  blocked: "blocked: nobody can log in, mail for it is refused",
  leaving: "leaving: it is being deleted",
};

async function block(io: CtlIo, given: string, { json }: { json: boolean }): Promise<void> {
  const { address, state } = await ask(io, "POST", given, "/block");
  // Each whatever becomes of the other.
  const [first, sessions] = await Promise.allSettled([
    treatQueued(io, "hold", address),
    endSessions(io, address),
  ]);
  if (first.status === "rejected") throw first.reason;
  if (sessions.status === "rejected") throw sessions.reason;
  // What was on its way in is in the queue by now.
  const held = first.value + (await treatQueued(io, "hold", address));
  if (json) return writeJson(io, { address, state, held });
  if (held > 0)
    io.stdout.write(
      terminalLine(
        `Held back in the queue: ${messages(held)}. That takes room until you unblock or delete it.`,
      ),
    );
  io.stdout.write(
    terminalLine(`${address} is blocked. To take that back: homing-ctl account unblock ${address}`),
  );
}

async function unblock(io: CtlIo, given: string, { json }: { json: boolean }): Promise<void> {
  const { address, state } = await ask(io, "POST", given, "/unblock");
  const released = await treatQueued(io, "release", address);
  if (json) return writeJson(io, { address, state, released });
  if (released > 0) io.stdout.write(terminalLine(`On its way again: ${messages(released)}.`));
  io.stdout.write(terminalLine(`${address} can be used again.`));
}

async function deleteAccount(
  io: CtlIo,
  given: string,
  options: { yes: boolean; json: boolean },
): Promise<void> {
  if (!options.yes) {
    const seen = await look(io, given);
    io.stderr.write(seenText(seen));
    const question = `All of it is deleted, and nobody can bring it back. Delete ${seen.address}? Type “yes”: `;
    if (!(await io.confirm(question))) throw new ControlError("nothing was deleted");
  }
  const { address } = await ask(io, "POST", given, "/leave");
  await endSessions(io, address);
  // What came back of it later would be in the mailbox of whoever has the name by then.
  await treatQueued(io, "delete", address);
  const { code } = await io.run("systemctl", ["start", reaperUnit]);
  const isGone = code === 0 && (await isUnknown(io, address));
  if (options.json) writeJson(io, { address, state: isGone ? "deleted" : "leaving" });
  else if (isGone) io.stdout.write(terminalLine(`${address} is deleted.`));
  if (!isGone) {
    throw new ControlError(
      `${address} is gone for everybody, but its mail is not deleted yet: see \`journalctl -t homing-reaper\``,
    );
  }
}

async function isUnknown(io: CtlIo, address: string): Promise<boolean> {
  try {
    await ask(io, "GET", address);
    return false;
  } catch (cause) {
    if (cause instanceof ControlError && cause.status === 404) return true;
    throw cause;
  }
}

async function ask(io: CtlIo, method: "GET" | "POST", address: string, verb = ""): Promise<ListedAccount> {
  return (await io.ask(method, `/accounts/${encodeURIComponent(address)}${verb}`)) as ListedAccount;
}

/** Where days are not known, the operator hears why, and the accounts all the same. */
function openLastLogins(io: CtlIo): LastLogins {
  return io.lastLogins((problem) => io.stderr.write(terminalLine(`homing-ctl: ${problem}`)));
}

function dayText(day: LoginDay): string {
  return typeof day === "number" ? new Date(day * 1000).toISOString().slice(0, 10) : day;
}

function dayOrNull(day: LoginDay): number | null {
  return typeof day === "number" ? day : null;
}

function sizeText({ messages: count, bytes }: { messages: number; bytes: number }): string {
  return `${messages(count)}, ${(bytes / 1e6).toFixed(1)} MB`;
}

function messages(count: number): string {
  return count === 1 ? "1 message" : `${count} messages`;
}
