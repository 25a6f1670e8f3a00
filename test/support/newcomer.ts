/** What a newcomer types at the wizard's questions, in a terminal (terminal.ts) in the world of wizard-world.ts. */
import type { Terminal } from "./terminal.ts";
import { waitFor } from "./wait.ts";

/** Keys, once the screen shows the text. */
export type Step = readonly [shown: string, ...keys: string[]];

/** A server's public address; any that is set aside for examples is refused. */
export const relayAddress = "198.35.26.96";
const CHOICE_TIMEOUT = 20_000;

/** Takes the steps one after the other; gives how many answers that were. */
export async function answer(terminal: Terminal, steps: readonly Step[]): Promise<number> {
  for (const [shown, ...keys] of steps) {
    await terminal.shows(shown);
    await terminal.type(...keys);
  }
  return steps.flat().filter((key) => key === "Enter").length;
}

/** From the welcome to the question for the address; the relay will be a virtual machine at home. */
export const untilAddress = (domain: string): readonly Step[] => [
  ["❯ Begin", "Enter"],
  ["Domain:", domain, "Enter"],
  // A name of RFC 6761, as all tests have.
  ["can never be a public name", "Down", "Enter"],
  ["❯ Raspberry Pi 3", "Down"],
  ["❯ Raspberry Pi Zero", "Down"],
  ["❯ Virtual machine on a computer", "Enter"],
];

/** From the address to the settings, with the records set at deSEC. */
export async function publishAtDesec(terminal: Terminal, token: string): Promise<number> {
  const first = await answer(terminal, toProviders);
  await markDesec(terminal);
  const second = await answer(terminal, [
    ["❯ deSEC", "Enter"],
    ["Access to deSEC", token],
    ["Token: ••••", "Enter"],
    ["❯ Make these changes", "Enter"],
  ]);
  return first + second;
}

/** From the address to a token that is none, and back to the address. */
export async function tryWrongToken(terminal: Terminal): Promise<void> {
  await answer(terminal, toProviders);
  await markDesec(terminal);
  await answer(terminal, [
    ["❯ deSEC", "Enter"],
    ["Access to deSEC", "no token at all"],
    ["Token: ••••", "Enter"],
    ["the token is wrong", "Escape"],
    ["Who keeps them?", "Escape"],
  ]);
}

const toProviders: readonly Step[] = [["Public address:", "C-u", relayAddress, "Enter"]];

async function markDesec(terminal: Terminal): Promise<void> {
  await terminal.shows("Who keeps them?");
  await waitFor("deSEC is marked in the list", CHOICE_TIMEOUT, async () => {
    if ((await terminal.screen()).includes("❯ deSEC")) return true;
    await terminal.type("Down");
    return false;
  });
}
