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
import { wrap } from "./view.ts";

/** Between the code and the words beside it. */
const GUTTER = 2;
/** Narrower words beside a code are hard to read: they stand above it then. */
const MIN_WORDS_WIDTH = 36;

/** `columns`: what is wider than the terminal is left out, for its lines would be broken. */
export function endingText(state: State, look: Look, columns: number): string {
  const plain = (lines: readonly string[]) => lines.map((line) => drawable(line, look));
  if (state.ended !== "done") {
    const words = left(state).flatMap((line) => wrap(line, columns - 1));
    return `\n${plain(words).join("\n")}\n`;
  }
  const steps = nextSteps(state);
  const heading = `What happens next with ${state.answers.domain}:`;
  const code = invitation(state, look, columns);
  const wordsWidth = columns - code.width - GUTTER;
  if (code.lines.length === 0 || wordsWidth < MIN_WORDS_WIDTH) {
    const words = plain([...wrap(heading, columns - 1), "", ...numbered(steps, columns - 1)]);
    return `\n${[...words, "", ...code.lines].join("\n").trimEnd()}\n`;
  }
  // Beside each other all of it is in sight on 24 rows.
  const words = plain([...wrap(heading, wordsWidth), "", ...numbered(steps, wordsWidth)]);
  const rows = Math.max(words.length, code.lines.length);
  const beside = Array.from({ length: rows }, (_, row) => {
    const part = code.lines[row] ?? " ".repeat(code.width);
    return `${part}${" ".repeat(GUTTER)}${words[row] ?? ""}`.trimEnd();
  });
  return `\n${beside.join("\n")}\n`;
}

function numbered(steps: readonly string[], width: number): string[] {
  return steps.flatMap((step, index) => {
    const sign = `${index + 1}. `;
    return wrap(step, width - sign.length).map(
      (line, row) => `${row === 0 ? sign : " ".repeat(sign.length)}${line}`,
    );
  });
}

function left({ folder, answers, known, found }: State): string[] {
  if (folder === undefined) return ["Nothing was made yet. ./homing begins again."];
  const { written = [], missing = [], backup = "" } = known.cutOff ?? {};
  const begun =
    written.length + missing.length > 0
      ? `${written.length} of ${written.length + missing.length} record sets are written; the zone as it was is in ${backup}.`
      : `The zone as it was is in the newest dns-backup file of ${folder}.`;
  return [
    ...found.map(({ text }) => text),
    ...(answers.dns === "begun" ? [`The change of the DNS records did not come to its end. ${begun}`] : []),
    `Everything so far is in the folder ${folder}.`,
    `./homing goes on with ${answers.domain} where you left.`,
  ];
}

function nextSteps(state: State): string[] {
  const { answers, folder = "" } = state;
  const { domain, image = "" } = answers;
  const isTest = isTestDomain(domain);
  const { network } = state.options.wifi;
  const onPi = answers.place !== undefined && places[answers.place].target === "pi";
  const trial = `./homing vm ${shellQuote(folder)}`;
  return [
    `Keep a copy of the folder ${folder}: it is your relay's identity. Give neither it nor the image away.`,
    onPi
      ? `Write ${image} to a card, put it into the Pi, plug in ${network === "" ? "network and power" : `power; it joins the Wi-Fi “${network}”`}.`
      : `Start a machine with ${image} as its disk (to try it here: ${trial}).`,
    "After about a minute its screen shows “homing: ready”.",
    ...(isTest ? testSteps(trial) : [...dnsSteps(state), friendsStep(state)]),
  ];
}

/** A relay that is only tried: nobody finds it by its name, and its invitations lead nowhere. */
function testSteps(trial: string): string[] {
  return [
    "A name that begins with “_” is for tests: nothing is to be done in DNS or router, and nobody finds the relay by it. " +
      `The screen says how Delta Chat gets in by the address; so does ${trial} on this computer.`,
  ];
}

function friendsStep({ answers: { domain }, options }: State): string {
  return options.signUp === "open"
    ? `For you and your friends: in Delta Chat choose “Create new profile”, “Use other server” and ${domain}, or scan the QR code of https://${domain}/.`
    : "Make invitations for your friends on the relay, by SSH: homing-ctl invite create";
}

function dnsSteps({ answers, folder }: State): string[] {
  switch (answers.dns) {
    case "published":
      return ["The DNS records are set. The relay gets its certificate by itself once it runs."];
    case "begun":
      return [
        "The change of the DNS records was cut off. Start ./homing again: it finds out what is missing.",
      ];
    case "later":
      return ["Once you know the relay's public address, start ./homing again for the DNS records."];
    default:
      return [
        `Publish the DNS records of ${folder}/dns-records.txt; the relay gets its certificate by itself then.`,
      ];
  }
}

type Code = Readonly<{ lines: readonly string[]; width: number }>;

/** Not where only an invitation makes accounts, or where nobody else can get at the relay. */
export function hasInvitation({ answers: { domain }, options }: State): boolean {
  return !isTestDomain(domain) && options.signUp === "open";
}

/** What makes an account when it is scanned; none where the terminal cannot show it either. */
function invitation(state: State, look: Look, columns: number): Code {
  const link = `dcaccount:https://${state.answers.domain}/new`;
  const width = qrText(link, false).indexOf("\n");
  if (!hasInvitation(state) || !look.blocks || width > columns) return { lines: [], width: 0 };
  return { lines: qrText(link, look.colours).split("\n"), width };
}
