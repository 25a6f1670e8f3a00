/** Steps: a free name below dedyn.io, with an account at deSEC. */
import { freeNameState, registeredName } from "../free-names.ts";
import type { State } from "../state.ts";
import { findings, gap, text, type View } from "../view.ts";

export function freeNameView({ answers, found, known }: State): View {
  const isTaken = known.facts !== undefined && freeNameState(known.facts) === "taken";
  return {
    title: `A free name: ${registeredName(answers.domain)}`,
    blocks: [
      ...findings(found),
      text(
        "deSEC (desec.io), a charity, gives one name to everybody who has an e-mail address, and keeps its DNS records.",
      ),
      ...(isTaken
        ? []
        : [gap, text("By registering you agree to deSEC's terms, which you find on desec.io.")]),
    ],
  };
}

export function freeEmailView({ found, known }: State): View {
  return {
    title: "An account at deSEC",
    blocks: [
      ...findings(found),
      text(
        known.hasAccount
          ? "The e-mail address of your account at deSEC."
          : "deSEC sends a letter to this address. The link in it makes the account and the name.",
      ),
    ],
  };
}

export function freePasswordView({ answers, found }: State): View {
  return {
    title: "An account at deSEC",
    blocks: [
      ...findings(found),
      text(
        `A new password for ${answers.account} at deSEC. Keep it in your password manager: with it you can change the records later. Homing forgets it when it ends.`,
      ),
    ],
  };
}

export function freeRepeatView({ answers, found }: State): View {
  return {
    title: "An account at deSEC",
    blocks: [
      ...findings(found),
      text(`Type the new password for ${answers.account} once more. Then deSEC is asked for the account.`),
    ],
  };
}

export function freeLoginView({ answers, found }: State): View {
  return {
    title: "An account at deSEC",
    blocks: [
      ...findings(found),
      text(`The password of ${answers.account} at deSEC. Homing gets a token with it and forgets it.`),
    ],
  };
}

export function freeKeepView({ answers, found, folder }: State): View {
  return {
    title: "The token of deSEC",
    blocks: [
      ...findings(found),
      text(
        `deSEC has given a token that may change the records of ${registeredName(answers.domain)} and nothing else. Shall it be kept in the folder ${folder}?`,
      ),
    ],
  };
}

export function freeWaitView({ answers, found }: State): View {
  return {
    title: "The letter from deSEC",
    blocks: [
      ...findings(found),
      text(
        `Open the link in the letter to ${answers.account}, and solve the riddle there if you are asked to. Then ${registeredName(answers.domain)} is yours. The link is good for twelve hours.`,
      ),
      gap,
      text("You may leave meanwhile: ./homing asks again.", "quiet"),
    ],
  };
}
