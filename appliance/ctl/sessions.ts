/**
 * The IMAP sessions and the mailbox of an account, by Dovecot's doveadm(1). Used by homing-ctl account, as root. An address
 * may begin with a hyphen (services/auth/rules.ts), so that \`--\` stands before it.
 */
import type { CtlIo } from "./command.ts";
import { ControlError } from "./control-client.ts";

/** Looks for sessions until there was none twice: one that logged in just before may come up a moment later. */
const looks = 20;
const betweenLooksMs = 250;

export type MailboxSize = Readonly<{ messages: number; bytes: number }>;

/** Ends all sessions of an account that lets nobody in any more. @throws ControlError when some stay. */
export async function endSessions(io: CtlIo, address: string): Promise<void> {
  let quiet = 0;
  for (let look = 0; look < looks; look++) {
    const kicked = await io.run("doveadm", ["kick", "--", address]);
    if (kicked.code !== 0)
      throw new ControlError(`sessions may still be open: doveadm kick: ${firstLine(kicked.stderr)}`);
    quiet = (await countSessions(io, address)) === 0 ? quiet + 1 : 0;
    if (quiet === 2) return;
    await io.pause(betweenLooksMs);
  }
  throw new ControlError(`sessions of ${address} are still open: see \`doveadm who -- ${address}\``);
}

/** @throws ControlError */
export async function countSessions(io: CtlIo, address: string): Promise<number> {
  const { code, stdout, stderr } = await io.run("doveadm", ["-f", "json", "who", "-1", "--", address]);
  if (code !== 0) throw new ControlError(`doveadm who: ${firstLine(stderr)}`);
  return (JSON.parse(stdout || "[]") as unknown[]).length;
}

/** @throws ControlError */
export async function mailboxSize(io: CtlIo, address: string): Promise<MailboxSize> {
  const { code, stdout, stderr } = await io.run("doveadm", ["-f", "json", "quota", "get", "-u", address]);
  if (code !== 0) throw new ControlError(`doveadm quota: ${firstLine(stderr)}`);
  const rows = JSON.parse(stdout) as Record<string, string>[];
  const value = (type: string) => Number(rows.find((row) => row.type === type)?.value ?? Number.NaN);
  // In units of 1024 bytes (doveadm-quota(1)).
  return { messages: value("MESSAGE"), bytes: value("STORAGE") * 1024 };
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0] ?? "";
}
