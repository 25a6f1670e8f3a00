/**
 * What services/door tells here, by lines (line-session.ts):
 *
 *     mail ADDRESS   → "noted", once the notifications for its devices outlive this process
 *
 * Called by service.ts.
 */
import type { Socket } from "node:net";
import type { Log } from "../lib/log.ts";
import { CommandError, serveLines } from "./line-session.ts";

/** A command and an address (64 + 1 + 253 characters) fit in twice over. */
const maxLineBytes = 1024;

/** @param parts.told there is mail for the account; an error of it cuts the door off, which tells everything again. */
export function serveNews(
  socket: Socket,
  { told, log }: Readonly<{ told: (address: string) => void; log: Log }>,
): void {
  const answer = (line: string): string => {
    const [, address] = /^mail ([\x21-\x7e]+)$/.exec(line) ?? [];
    if (address === undefined) throw new CommandError("a command is not known");
    told(address.toLowerCase());
    return "noted\n";
  };
  serveLines(socket, { peer: "the door", maxLineBytes, answer, log });
}
