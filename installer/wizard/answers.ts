/**
 * What a person has answered so far and where, as the relay folder keeps it (wizard.json, progress-file.ts). Nothing
 * here is a secret: tokens and passwords live in the memory of the running wizard alone. Pure.
 */
import type { HypervisorId } from "./hypervisors.ts";

/** Where the relay will run: decides the image and whose line is looked at. */
export const places = {
  pi: { target: "pi", line: "home" },
  "pi-zero-2": { target: "pi", line: "home" },
  "vm-home": { target: "vm", line: "home" },
  "vm-server": { target: "vm", line: "server" },
} as const;
export type PlaceId = keyof typeof places;

/** Every screen that asks something. The order is that of a first run. */
export const pages = [
  "welcome",
  "domain",
  "domain-advice",
  "free-name",
  "free-email",
  "free-password",
  "free-repeat",
  "free-wait",
  "free-login",
  "free-keep",
  "place",
  "address",
  "provider",
  "credential",
  "plan",
  "cut-off",
  "by-hand",
  "options",
  "sign-up",
  "contact",
  "ssh-key",
  "acme-email",
  "wifi-network",
  "wifi-password",
  "wifi-country",
  "hypervisor",
  "taken",
  "image",
  "disk",
  "disk-sure",
  "problem",
] as const;
export type Page = (typeof pages)[number];

/**
 * "begun": a change was begun whose end nobody has seen; "published": the wizard changed the DNS; "by-hand": the owner
 * does; "later": not yet, for want of an address.
 */
export const dnsStates = ["open", "begun", "published", "by-hand", "later"] as const;

export type Answers = Readonly<{
  domain: string;
  /** E-mail address of the account with a provider of free names; empty when there is none. */
  account: string;
  place: PlaceId | undefined;
  /** Public addresses of the relay. */
  addresses: readonly string[];
  /** Id of a DNS provider. */
  provider: string | undefined;
  dns: (typeof dnsStates)[number];
  /** What runs the virtual machine. */
  hypervisor: HypervisorId | undefined;
  /** Path of the image, once it is made. */
  image: string | undefined;
}>;

export const noAnswers: Answers = {
  domain: "",
  account: "",
  place: undefined,
  addresses: [],
  provider: undefined,
  dns: "open",
  hypervisor: undefined,
  image: undefined,
};

export type Kept = Readonly<{ page: Page; answers: Answers }>;

/** Where the next start goes on. What needs a secret, or the answer of a task that is gone, begins one step earlier. */
export function resumePage(page: Page, answers: Answers): Page {
  const waits = page === "free-wait" || page === "free-login" || page === "free-keep";
  // The letter may come while the computer is off.
  if (waits && answers.account !== "" && answers.provider === undefined) return "free-wait";
  if (answers.place === undefined) return "place";
  switch (page) {
    case "credential":
    case "plan":
    case "cut-off":
      return "provider";
    case "sign-up":
    case "contact":
    case "ssh-key":
    case "acme-email":
    case "wifi-network":
    case "wifi-password":
    case "wifi-country":
    case "hypervisor":
    case "taken":
    case "problem":
      return "options";
    case "disk":
    case "disk-sure":
      return "image";
    case "welcome":
    case "domain":
    case "domain-advice":
    case "free-name":
    case "free-email":
    case "free-password":
    case "free-repeat":
    case "free-wait":
    case "free-login":
    case "free-keep":
      return "place";
    default:
      return page === "image" && answers.image === undefined ? "options" : page;
  }
}
