/** The questions that are answered by typing: what they are called, and what stands there before. Pure. */
import type { CredentialField } from "../../appliance/dns/provider.ts";
import type { State } from "./state.ts";

export type Question = Readonly<{
  label: string;
  /** What stands in the field at first: the earlier answer, or what was found. */
  before: string;
  /** Drawn as dots, and never kept. */
  secret: boolean;
}>;

/** Undefined on pages that offer a choice instead. */
export function questionOf(state: State): Question | undefined {
  const { answers, options, known, secrets } = state;
  switch (state.page) {
    case "domain":
      return { label: "Domain", before: answers.domain, secret: false };
    case "free-email":
      return { label: "Your e-mail address", before: answers.account, secret: false };
    case "free-password":
      return { label: "A new password", before: "", secret: true };
    case "free-repeat":
      return { label: "The same again", before: "", secret: true };
    case "free-login":
      return { label: "Its password", before: "", secret: true };
    case "address":
      return { label: "Public address", before: answers.addresses.join(" "), secret: false };
    case "credential": {
      const { key = "", label, secret } = credentialOf(state) ?? { label: "Token", secret: true };
      return { label, before: secret ? "" : (secrets.credentials[key] ?? ""), secret };
    }
    case "contact":
      return { label: "Contact", before: options.contact, secret: false };
    case "ssh-key":
      return { label: "File of your public key", before: known.keyFile, secret: false };
    case "acme-email":
      return { label: "E-mail address", before: options.email, secret: false };
    case "wifi-network":
      return { label: "Name of the network", before: options.wifi.network, secret: false };
    case "wifi-password":
      return { label: "Its password", before: "", secret: true };
    case "wifi-country":
      return { label: "Country", before: options.wifi.country || known.country, secret: false };
    default:
      return undefined;
  }
}

/** What is asked for now, of all that the provider wants. */
export function credentialOf({ answers, known }: State): CredentialField | undefined {
  return known.providers.find(({ id }) => id === answers.provider)?.credentials[known.credential];
}
