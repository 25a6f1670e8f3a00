/** The system's errors in words, for the messages that name a place and a mend. Pure. */
import { getSystemErrorMessage } from "node:util";

/** "permission denied (EACCES)"; undefined for an error that is not the system's. */
export function systemReason(error: unknown): string | undefined {
  const { code = "", errno } = error as NodeJS.ErrnoException;
  if (errno === undefined) return undefined;
  return code === "EEXIST" ? "it is a file" : `${getSystemErrorMessage(errno)} (${code})`;
}
