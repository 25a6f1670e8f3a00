/**
 * Words of commands that are printed to be copied into a shell: a path with a space in it must stay one word. Called by
 * whatever prints commands. POSIX.1-2017, Shell Command Language 2.2.2; on Windows for cmd.exe and PowerShell alike.
 */

/** What no shell gives a meaning to, in the middle or at the beginning of a word. */
const PLAIN = /^[\w@%+:,./-][\w@%+=:,./~-]*$/;
/** Of Windows' paths; "%" is a variable's, and "~" is PowerShell's home at the beginning. */
const PLAIN_ON_WINDOWS = /^[\w+:,./\\-][\w+=:,./\\~-]*$/;

/** The word as it is where it means itself, else in quotes. An option's dash is no matter of the shell. */
export function shellQuote(word: string, platform: NodeJS.Platform = process.platform): string {
  // No file of Windows has a double quote in its name.
  if (platform === "win32") return PLAIN_ON_WINDOWS.test(word) ? word : `"${word}"`;
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
