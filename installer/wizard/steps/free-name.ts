/** Steps: a free name below dedyn.io, with a new account at deSEC. */
import type { State } from "../state.ts";
import { findings, gap, text, type View } from "../view.ts";

export function freeNameView({ answers, found }: State): View {
  return {
    title: `A free name: ${answers.domain}`,
    blocks: [
      ...findings(found),
      text(
        `The DNS knows no ${answers.domain} yet, so it may be free. deSEC (desec.io) gives one name to everybody who has an e-mail address, and keeps its DNS records.`,
      ),
      gap,
      text("By registering you agree to deSEC's terms, which you find on desec.io."),
    ],
  };
}

export function freeEmailView({ found }: State): View {
  return {
    title: "An account at deSEC",
    blocks: [
      ...findings(found),
      text("deSEC sends a letter to this address. The link in it makes the account and the name."),
    ],
  };
}

export function freePasswordView({ secrets, found }: State): View {
  return {
    title: "An account at deSEC",
    blocks: [
      ...findings(found),
      text(
        `A new password for ${secrets.email} at deSEC. Keep it in your password manager: with it you can change the records later. Homing forgets it when it ends.`,
      ),
    ],
  };
}

export function freeWaitView({ secrets, answers, found }: State): View {
  return {
    title: "The letter from deSEC",
    blocks: [
      ...findings(found),
      text(
        `Open the link in the letter to ${secrets.email}, and solve the riddle there if you are asked to. Then ${answers.domain} is yours.`,
      ),
    ],
  };
}
