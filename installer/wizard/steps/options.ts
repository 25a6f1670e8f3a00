/** Steps: the few settings worth a question. All others are in relay.toml with their defaults. */
import type { State } from "../state.ts";
import { findings, gap, text, type View } from "../view.ts";

export function optionsView({ found, folder }: State): View {
  return {
    title: "Settings",
    blocks: [
      ...findings(found),
      text("These are good as they are. Choose one to change it, or go on."),
      text(`All other settings are in ${folder}/relay.toml, each with a comment.`, "quiet"),
    ],
  };
}

export function signUpView(): View {
  return { title: "Who gets an account", blocks: [text("It can be changed at any time.")] };
}

export function contactView(): View {
  return {
    title: "Contact",
    blocks: [
      text("How do people reach you? An e-mail address, or a link that begins with https://."),
      text("Everybody who has an account can see it."),
    ],
    advice: "Empty: none.",
  };
}

export function sshKeyView(): View {
  return {
    title: "Login by SSH",
    blocks: [
      text("Whoever has the private key to this public key can log in to the device as root."),
      gap,
      text("Without one nobody can log in at all, and nothing has to be guarded."),
    ],
    advice: "The path of a file like ~/.ssh/id_ed25519.pub. Empty: no login.",
  };
}

export function acmeEmailView(): View {
  return {
    title: "The certificate",
    blocks: [
      text(
        "The relay gets its certificate from Let's Encrypt by itself and renews it; to make it is to agree to Let's Encrypt's terms. To which address may they write when something is wrong?",
      ),
    ],
    advice: "Empty: to none.",
  };
}

export function wifiNetworkView({ answers }: State): View {
  const doubt =
    answers.place === "pi-zero-2"
      ? "Debian has no firmware for the radio of most Zero 2: then a USB network adapter is needed all the same."
      : "It works with a Pi 3, 4, 5, 500 and Compute Module; Debian has no firmware for the radio of a Pi 400.";
  return {
    title: "Wi-Fi",
    blocks: [
      text("Which network shall it join? Its name as telephones show it, capital letters and all."),
      text(doubt, "quiet"),
    ],
    advice:
      "Empty: none. WPA2 is spoken, not WPA3 alone. A network without a password is set by ./homing wifi.",
  };
}

export function wifiPasswordView({ options, wifiNetwork }: State): View {
  const present = options.wifi.open ? " Empty: none, as before." : " Empty: the one that is set stays.";
  return {
    title: "Wi-Fi",
    blocks: [
      text(`The password of “${wifiNetwork}”.`),
      text(
        "The relay's folder and the image keep only the key that is made of it and of the network's name.",
        "quiet",
      ),
    ],
    advice: `8 to 63 letters, digits, signs and spaces.${options.wifi.network === wifiNetwork ? present : ""}`,
  };
}

export function wifiCountryView(): View {
  return {
    title: "Wi-Fi",
    blocks: [text("In which country will it stand? Each has rules of its own for radio.")],
    advice: "Two letters, like DE, FR or US.",
  };
}
