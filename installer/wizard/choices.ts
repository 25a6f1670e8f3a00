/** What can be chosen on each page that offers a choice, from top to bottom. Pure; state.ts and steps/ read the same list. */
import { signUpModes } from "../../appliance/sign-up-modes.ts";
import { places } from "./answers.ts";
import { freeChoices } from "./free-choices.ts";
import { isFreeName } from "./free-names.ts";
import { imageChoices } from "./image-choices.ts";
import type { State } from "./state.ts";

export type Choice = Readonly<{
  id: string;
  label: string;
  /** Said below the label of the one that is marked. */
  hint?: string;
}>;

/** Somebody with more relay folders in one place names the one with ./homing init or changes into another folder. */
const MAX_RELAYS = 9;

export function choicesOf(state: State): readonly Choice[] {
  switch (state.page) {
    case "welcome":
      return welcome(state);
    case "domain-advice":
      return domainAdvice(state);
    case "free-name":
    case "free-wait":
    case "free-keep":
      return freeChoices(state);
    case "place":
      return [
        { id: "pi", label: "Raspberry Pi 3, 4 or 5, at home" },
        {
          id: "pi-zero-2",
          label: "Raspberry Pi Zero 2, at home",
          hint: "With a USB network adapter; Wi-Fi works with some of them, for Debian has no firmware for the others.",
        },
        {
          id: "vm-home",
          label: "Virtual machine on a computer at home",
          hint: "x86-64, by QEMU, Proxmox, VirtualBox, VMware …",
        },
        {
          id: "vm-server",
          label: "Virtual machine at a hosting provider",
          hint: "One that takes an image of your own.",
        },
      ];
    case "provider":
      return providers(state);
    case "plan":
      return plan(state);
    case "cut-off":
      return [
        { id: "again", label: "Go on with it", hint: "What is missing is found out anew, and shown first." },
        {
          id: "undo",
          label: "Take back what was written",
          hint: "The records of before come back; what somebody else changed since stays.",
        },
        { id: "by-hand", label: "I publish the records by hand" },
      ];
    case "by-hand":
      return [
        { id: "go-on", label: "Go on; I publish them meanwhile" },
        { id: "check", label: "Check now what the DNS shows" },
        { id: "print", label: "Print the records here, to be copied" },
      ];
    case "options":
      return options(state);
    case "sign-up":
      return signUpModes.map((id) => ({ id, ...signUpWords[id] }));
    case "hypervisor":
    case "taken":
    case "image":
    case "disk":
    case "disk-sure":
      return imageChoices(state.page, state);
    case "problem":
      return [
        { id: "again", label: "Try again" },
        { id: "back", label: "Go back" },
        { id: "leave", label: "Leave; everything so far is kept" },
      ];
    default:
      return [];
  }
}

export const signUpWords = {
  open: { label: "open", hint: "Whoever knows the domain gets an account at the first login." },
  invite: { label: "by invitation", hint: "You make the invitations on the relay, which takes an SSH key." },
  closed: { label: "closed", hint: "Nobody gets an account until you open it, which takes an SSH key." },
} as const;

function welcome({ known }: State): Choice[] {
  const begin: Choice = { id: "new", label: known.relays.length === 0 ? "Begin" : "Make another relay" };
  return [
    ...known.relays
      .slice(0, MAX_RELAYS)
      .map(({ folder, domain }) => ({ id: folder, label: `Go on with ${domain}` })),
    begin,
  ];
}

/** Below a domain that receives mail already, the relay gets a name of its own. */
export function subDomainOf(domain: string): string {
  return `chat.${domain}`;
}

function domainAdvice({ answers, known }: State): Choice[] {
  const receives = (known.facts?.mailServers.length ?? 0) > 0;
  return [
    ...(receives
      ? [{ id: "sub-domain", label: `Use ${subDomainOf(answers.domain)} instead (advised)` }]
      : []),
    { id: "other", label: "Another name" },
    { id: "keep", label: `Use ${answers.domain} all the same` },
  ];
}

/** The provider that was recognised comes first, then all others, then without any. */
function providers({ known, answers }: State): Choice[] {
  const byHand: Choice = {
    id: "by-hand",
    label: "I publish the records by hand",
    hint: "Works everywhere: the records and where to put them are shown.",
  };
  const recognised = known.providers.find(({ id }) => id === known.facts?.provider);
  const others = known.providers.filter((one) => one !== recognised);
  const all = others.map(({ id, name }) => ({ id, label: name }));
  if (recognised === undefined) return [byHand, ...all];
  const byAccount: Choice = {
    id: "account",
    label: `deSEC, by the password of ${answers.account}`,
    hint: "Homing asks deSEC for a token that may change this name alone.",
  };
  const hasAccount = isFreeName(answers.domain) && answers.account !== "" && !known.isTrusted;
  return [
    ...(hasAccount ? [byAccount] : []),
    {
      id: recognised.id,
      label: `${recognised.name}, where your domain is`,
      hint: "Homing sets the records by its interface.",
    },
    byHand,
    ...all,
  ];
}

function plan({ known }: State): Choice[] {
  const byHand: Choice = { id: "by-hand", label: "I publish the records by hand" };
  const parking = known.plan?.parking ?? [];
  const unpark: Choice = {
    id: "unpark",
    label: "Let the registrar's parking page go",
    hint: `Its records are removed with the change: ${parking.join("; ")}`,
  };
  if (known.plan?.blocked !== undefined)
    return [
      ...(parking.length > 0 ? [unpark] : []),
      { id: "again", label: "Look again", hint: "Once you have changed what is said above." },
      byHand,
    ];
  if (known.plan?.isOld === true)
    return [{ id: "again", label: "Look again", hint: "The changes are worked out anew." }, byHand];
  const hint = "The zone as it is now is kept in a file first.";
  const websites = known.plan?.websites ?? [];
  if (websites.length === 0) return [{ id: "apply", label: "Make these changes", hint }, byHand];
  // Not by a mere Enter: a web page may be worth more than a relay.
  const label = `Make these changes, and let the web page at ${websites.join(" and ")} go`;
  return [byHand, { id: "apply", label, hint }];
}

function options({ answers, options }: State): Choice[] {
  const { signUp, contact, email, authorizedKeys, wifi } = options;
  const hasWifi = answers.place !== undefined && places[answers.place].target === "pi";
  const keys = authorizedKeys.length;
  return [
    { id: "build", label: "Go on: make the image with these" },
    { id: "sign-up", label: `Accounts:      ${signUpWords[signUp].label}`, hint: signUpWords[signUp].hint },
    {
      id: "contact",
      label: `Contact:       ${contact || "none"}`,
      hint: "How friends reach you; shown to all who have an account.",
    },
    {
      id: "ssh-key",
      label: `SSH login:     ${keys === 0 ? "off" : `on, ${keys === 1 ? "one key" : `${keys} keys`}`}`,
      hint: "To look inside and to make invitations; the device has no password.",
    },
    {
      id: "acme-email",
      label: `Certificate:   ${email === "" ? "no address for warnings" : `warnings to ${email}`}`,
      hint: "Let's Encrypt may write to this address when something is wrong.",
    },
    ...(hasWifi
      ? [
          {
            id: "wifi",
            label: `Wi-Fi:         ${wifi.network || "none; it takes a network cable"}`,
            hint: "A cable is quicker and goes before the Wi-Fi where both are there.",
          },
        ]
      : []),
  ];
}
