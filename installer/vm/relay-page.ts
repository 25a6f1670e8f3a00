/**
 * What of the page that a relay shows on its console (appliance/life/status.ts) is true of one that `./homing vm` runs.
 * Called by commands/vm.ts with lines as console.ts gives them; pure.
 */
import type { SignUpMode } from "../../appliance/sign-up-modes.ts";

/** The addresses are those inside QEMU, of no use to anybody outside; the steps end there. */
const OF_THE_OUTSIDE = /^homing: (?:addresses |in your network: |what to do next| {2}\d+\. )/;
/** The last of the steps. */
const SIGN_UP_STEP = /^homing: {3}\d+\. (in Delta Chat:|sign-up is by invitation|sign-up is closed)/;

const modes: Readonly<Record<string, SignUpMode>> = {
  "in Delta Chat:": "open",
  "sign-up is by invitation": "invite",
  "sign-up is closed": "closed",
};

/** Whether the line is worth showing. */
export function isOfUse(line: string): boolean {
  return line.startsWith("homing:") && !OF_THE_OUTSIDE.test(line);
}

/** Who may make an account, when the line tells it: homing-ctl may have changed what relay.toml says. */
export function signUpOf(line: string): SignUpMode | undefined {
  return modes[SIGN_UP_STEP.exec(line)?.[1] ?? ""];
}
