/**
 * What services/door tells here, by lines (line-session.ts):
 *
 *     mail ADDRESS   → "noted", once the notifications for its devices outlive this process
 *
 * Called by service.ts.
 */
import { CommandError, wordsOf } from "./line-session.ts";

/** @param told there is mail for the account. @throws CommandError by the answers, or the error of SQLite. */
export function createNewsAnswers(told: (address: string) => void): (line: string) => string {
  return (line) => {
    const [command, address, ...others] = wordsOf(line);
    if (command !== "mail" || address === undefined || others.length > 0) {
      throw new CommandError("a command is not known");
    }
    told(address.toLowerCase());
    return "noted\n";
  };
}
