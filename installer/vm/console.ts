/**
 * The serial console of a machine as lines of text. Used by `./homing vm` and by the boot tests. Pure.
 */

/** Control sequences and strings of terminals (ECMA-48 §5.4, §5.6) that firmware and systemd print. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be removed
const CONTROL = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[()][A-Z0-9]|[=>78cM])/g;
/** systemd marks messages of units that also go to the console; the kernel puts its clock before them. */
const PREFIX = /^\s*(?:\[\s*\d+\.\d+\]\s*)?(?:[\w@.-]+\[\d+\]:\s*)?/;

/**
 * Takes the console's text in pieces and calls `onLine` for every full line, without control sequences, the
 * kernel's time stamp and the name of the program that logged it.
 */
export function consoleLines(onLine: (line: string) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split(/\r*\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const plain = line.replace(CONTROL, "").replace(PREFIX, "").trimEnd();
      if (plain !== "") onLine(plain);
    }
  };
}
