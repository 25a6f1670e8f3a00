/**
 * The last words of the wizard, printed to stay in the terminal: what to do next, and the QR code for friends. Called by
 * start.ts. Pure.
 */
import { isTestDomain } from "../../appliance/domain.ts";
import { qrText } from "../../appliance/qr-text.ts";
import { shellQuote } from "../shell-quote.ts";
import { places } from "./answers.ts";
import { drawable, type Look } from "./look.ts";
import type { State } from "./state.ts";

/** `columns`: a code that is wider than the terminal is left out, for its lines would be broken. */
export function endingText(state: State, look: Look, columns: number): string {
  const lines = state.ended === "done" ? finished(state) : left(state);
  const words = lines.map((line) => `${drawable(line, look)}\n`).join("");
  return state.ended === "done" ? `${words}${invitation(state, look, columns)}` : words;
}

function left({ folder, answers }: State): string[] {
  if (folder === undefined) return ["Nothing was made yet. ./homing begins again."];
  return [
    `Everything so far is in the folder ${folder}.`,
    `./homing goes on with ${answers.domain} where you left.`,
  ];
}

function finished(state: State): string[] {
  const { answers, folder = "" } = state;
  const { domain, image = "" } = answers;
  const isTest = isTestDomain(domain);
  const onPi = answers.place !== undefined && places[answers.place].target === "pi";
  const steps = [
    `Keep a copy of the folder ${folder}: it is your relay's identity. Give neither it nor the image away.`,
    onPi
      ? `Write ${image} to a card, put it into the Pi, plug in network and power.`
      : `Start a machine with ${image} as its disk (to try it here: ./homing vm ${shellQuote(image)}).`,
    "After about a minute its screen shows “homing: ready”.",
    ...(isTest ? [] : dnsSteps(state)),
    state.options.signUp === "open"
      ? "In Delta Chat choose: Create new profile, Use other server, and your domain; or scan the code below."
      : "Make invitations for your friends on the relay: homing-ctl invite create (by SSH).",
  ];
  const numbered = steps.map((step, index) => `  ${index + 1}. ${step}`);
  return ["", `What happens next with ${domain}:`, "", ...numbered];
}

function dnsSteps({ answers, folder }: State): string[] {
  switch (answers.dns) {
    case "published":
      return ["The DNS records are set. The relay gets its certificate by itself once it runs."];
    case "later":
      return ["Once you know the relay's public address, start ./homing again for the DNS records."];
    default:
      return [
        `Publish the DNS records of ${folder}/dns-records.txt; the relay gets its certificate by itself then.`,
      ];
  }
}

/** What makes an account when it is scanned; nothing where only an invitation does, or only people on this network can. */
function invitation({ answers: { domain }, options }: State, look: Look, columns: number): string {
  if (isTestDomain(domain) || options.signUp !== "open") return "";
  const code = qrText(`dcaccount:https://${domain}/new`, false);
  const width = code.indexOf("\n");
  const shown =
    look.blocks && width <= columns ? `\n${qrText(`dcaccount:https://${domain}/new`, look.colours)}\n` : "";
  return `\nFor your friends, once it runs: https://${domain}/\n${shown}`;
}
