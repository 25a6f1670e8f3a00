/** Steps: who keeps the DNS records, the token to change them with, the plan, and the records by hand. */

import { credentialOf } from "../questions.ts";
import type { State } from "../state.ts";
import { finding, findings, gap, item, text, type View, verbatim } from "../view.ts";

export function providerView({ found, answers, known }: State): View {
  const servers = known.facts?.nameServers ?? [];
  return {
    title: "The DNS records",
    blocks: [
      ...findings(found),
      text(`The records of ${answers.domain} tell the world where the relay is and which keys it has.`),
      ...(servers.length > 0 ? [verbatim(`Name servers: ${servers.join(", ")}`, "quiet")] : []),
      gap,
      text("Who keeps them? What is in the list Homing can set by itself, with a token of yours."),
    ],
  };
}

export function credentialView(state: State): View {
  const provider = state.known.providers.find(({ id }) => id === state.answers.provider);
  const { hint = "", optional = false } = credentialOf(state) ?? {};
  return {
    title: `Access to ${provider?.name ?? "the provider"}`,
    blocks: [...findings(state.found), ...(provider?.tokenHelp ?? []).map((line) => text(line))],
    advice: [
      ...(hint === "" ? [] : [`${hint[0]?.toUpperCase()}${hint.slice(1)}.`]),
      ...(optional ? ["It may stay empty."] : []),
      "Used now and forgotten at the end: it is written nowhere.",
    ].join(" "),
  };
}

export function planView({ found, known, answers }: State): View {
  const { changes = [], blocked } = known.plan ?? {};
  return {
    title: `What changes for ${answers.domain}`,
    blocks: [
      ...findings(found),
      ...(blocked === undefined ? [] : [text(blocked, "bad"), gap]),
      ...changes.map((change) => verbatim(change)),
      gap,
      text("No other record is touched.", "quiet"),
    ],
  };
}

export function cutOffView({ found, known: { cutOff } }: State): View {
  if (cutOff === undefined) return { title: "The change was cut off", blocks: findings(found) };
  const { why, written, missing, isKnown, backup } = cutOff;
  return {
    title: "The change was cut off",
    blocks: [
      ...findings(found),
      text(why, "bad"),
      gap,
      ...(isKnown ? [] : [text("The provider could not be asked what is there now.", "warning"), gap]),
      ...written.map((name) => finding("good", `written      ${name}`)),
      ...missing.map((name) =>
        isKnown ? finding("bad", `not written  ${name}`) : finding("warning", `not known    ${name}`),
      ),
      gap,
      text("The zone as it was before is kept in"),
      item(backup, "  "),
    ],
  };
}

export function byHandView({ found, folder, answers, known }: State): View {
  return {
    title: "The DNS records by hand",
    blocks: [
      ...findings(found),
      text(`All records of ${answers.domain} are in the file`),
      item(`${folder}/dns-records.txt`, "  "),
      text("Put each into the form at your provider: name, type and value."),
      ...(known.facts?.pathByHand ?? []).map((line) => item(line)),
    ],
  };
}
