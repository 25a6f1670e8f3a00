/** What can be chosen on the pages about the image and the card. Pure; called by choices.ts. */
import { isTestDomain } from "../../appliance/domain.ts";
import { places } from "./answers.ts";
import type { Choice } from "./choices.ts";
import { hasInvitation } from "./ending.ts";
import { hypervisorIds, hypervisors } from "./hypervisors.ts";
import type { State } from "./state.ts";

export type ImagePage = "hypervisor" | "taken" | "image" | "disk" | "disk-sure";

export function imageChoices(page: ImagePage, state: State): readonly Choice[] {
  switch (page) {
    case "hypervisor":
      return hypervisorChoices(state);
    case "taken":
      return takenChoices(state);
    case "image":
      return finishedChoices(state);
    case "disk":
      return state.known.disks.map(({ path, label, isRelay }) => ({
        id: path,
        label: isRelay ? `${label}: it has been a relay` : label,
      }));
    case "disk-sure":
      return [
        { id: "no", label: "No, leave it as it is" },
        {
          id: "yes",
          label:
            state.known.disk?.isRelay === true
              ? "Yes, give up its accounts and mail, and write the new relay to it"
              : "Yes, erase it and write the relay to it",
        },
      ];
  }
}

/** What takes images of one's own most often takes raw ones; at home it is one of the programs. */
function hypervisorChoices({ answers: { place } }: State): Choice[] {
  const onServer = place !== undefined && places[place].line === "server";
  const order = onServer
    ? (["other", ...hypervisorIds.filter((id) => id !== "other")] as const)
    : hypervisorIds;
  return order.map((id) => ({ id, label: hypervisors[id].label, hint: hypervisors[id].hint }));
}

function takenChoices({ known: { taken } }: State): Choice[] {
  return [
    { id: "beside", label: `Keep it, and make the new image ${taken?.free ?? ""}` },
    ...(taken?.isRelay === true
      ? [{ id: "replace", label: "Replace it; the accounts and mail in it are lost" }]
      : []),
    { id: "back", label: "Go back to the settings" },
  ];
}

function finishedChoices(state: State): Choice[] {
  const { domain, place } = state.answers;
  const onCard = place !== undefined && places[place].target === "pi";
  return [
    {
      id: "finish",
      label: `Finish: what happens next${hasInvitation(state) ? ", with the QR code for friends" : ""}`,
    },
    ...(onCard ? [{ id: "disks", label: "Write it to a card in this computer" }] : []),
    ...(isTestDomain(domain) ? [] : [{ id: "dns", label: "Back to the DNS records" }]),
    { id: "options", label: "Back to the settings, to make it anew" },
  ];
}
