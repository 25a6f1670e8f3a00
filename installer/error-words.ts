/** Which errors are words for people, and which are mistakes of the program. Called by main.ts and the wizard. Pure. */
import { getSystemErrorMessage } from "node:util";

/** Names of errors that JavaScript and Node throw by themselves: they are nobody's advice to the user. */
const unnamed = new Set([
  "Error",
  "AggregateError",
  "EvalError",
  "RangeError",
  "ReferenceError",
  "SyntaxError",
  "TypeError",
  "URIError",
  "AssertionError",
]);

/** What to tell the person; undefined for an error that nobody foresaw. */
export function errorWords(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if (isSystemError(error)) return systemErrorText(error);
  return unnamed.has(error.name) ? undefined : withoutControls(error.message);
}

/** Servers and providers are quoted in errors: what they say must not steer the terminal. Lines stay lines. */
function withoutControls(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{C}/gu, "?");
}

function isSystemError(error: Error): error is NodeJS.ErrnoException {
  return "syscall" in error && "code" in error;
}

/**
 * "keys/tls.pem: permission denied (EACCES)" instead of Node's "EACCES: permission denied, open 'keys/tls.pem'". Node's own
 * SystemErrors (ERR_FS_EISDIR of rm) have the positive number, of which it knows no message.
 */
function systemErrorText(error: NodeJS.ErrnoException): string {
  if (error.path === undefined || error.errno === undefined || error.errno >= 0) return error.message;
  return `${error.path}: ${getSystemErrorMessage(error.errno)} (${error.code})`;
}
