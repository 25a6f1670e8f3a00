/** Which step draws which page. Called by app.ts; pure. */
import type { Page } from "../answers.ts";
import { isBlocking, type State } from "../state.ts";
import type { View } from "../view.ts";
import { byHandView, credentialView, cutOffView, planView, providerView } from "./dns.ts";
import { domainAdviceView, domainView } from "./domain.ts";
import {
  freeEmailView,
  freeKeepView,
  freeLoginView,
  freeNameView,
  freePasswordView,
  freeRepeatView,
  freeWaitView,
} from "./free-name.ts";
import { diskSureView, diskView, hypervisorView, imageView, takenView } from "./image.ts";
import {
  acmeEmailView,
  contactView,
  optionsView,
  signUpView,
  sshKeyView,
  wifiCountryView,
  wifiNetworkView,
  wifiPasswordView,
} from "./options.ts";
import { addressView, placeView } from "./place.ts";
import { problemView } from "./problem.ts";
import { runningView } from "./running.ts";
import { welcomeView } from "./welcome.ts";

const views: Readonly<Record<Page, (state: State) => View>> = {
  welcome: welcomeView,
  domain: domainView,
  "domain-advice": domainAdviceView,
  "free-name": freeNameView,
  "free-email": freeEmailView,
  "free-password": freePasswordView,
  "free-repeat": freeRepeatView,
  "free-wait": freeWaitView,
  "free-login": freeLoginView,
  "free-keep": freeKeepView,
  place: placeView,
  address: addressView,
  provider: providerView,
  credential: credentialView,
  plan: planView,
  "cut-off": cutOffView,
  "by-hand": byHandView,
  options: optionsView,
  "sign-up": signUpView,
  contact: contactView,
  "ssh-key": sshKeyView,
  "acme-email": acmeEmailView,
  "wifi-network": wifiNetworkView,
  "wifi-password": wifiPasswordView,
  "wifi-country": wifiCountryView,
  hypervisor: hypervisorView,
  taken: takenView,
  image: imageView,
  disk: diskView,
  "disk-sure": diskSureView,
  problem: problemView,
};

/** The way from the first question to the card, as the title line counts it. */
const milestones: readonly (readonly Page[])[] = [
  [
    "domain",
    "domain-advice",
    "free-name",
    "free-email",
    "free-password",
    "free-repeat",
    "free-wait",
    "free-login",
    "free-keep",
  ],
  ["place", "address"],
  ["provider", "credential", "plan", "cut-off", "by-hand"],
  ["options", "sign-up", "contact", "ssh-key", "acme-email", "wifi-network", "wifi-password", "wifi-country"],
  ["hypervisor", "taken", "image", "disk", "disk-sure"],
];

export function stepView(state: State): View {
  const { running } = state;
  return running !== undefined && isBlocking(running) ? runningView(running) : views[state.page](state);
}

/** "step 2 of 5"; empty outside of the way. */
export function milestone({ page }: State): string {
  const index = milestones.findIndex((part) => part.includes(page));
  return index < 0 ? "" : `step ${index + 1} of ${milestones.length}`;
}
