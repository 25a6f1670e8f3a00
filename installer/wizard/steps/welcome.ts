/** Step: what this is, what is needed, and which relays were begun here. */
import type { State } from "../state.ts";
import { gap, item, text, type View } from "../view.ts";

export function welcomeView({ known }: State): View {
  return {
    title: "Your own chatmail relay",
    blocks: [
      text(
        "A few questions from here to a card or a virtual disk that is a whole mail server for Delta Chat. You need:",
      ),
      gap,
      item("a domain name (or a free one, which we can get on the way)"),
      item("a Raspberry Pi 3, 4, 5 or Zero 2 with a card of 2 GB, or a virtual machine"),
      item("a line to the Internet that other people can reach it by"),
      item("some 170 MB of download, and a few minutes"),
      gap,
      text("Everything is kept in a folder of the relay: you may leave at any time and go on later."),
      ...(known.relays.length === 0 ? [] : [gap, text("In this folder there is already:")]),
    ],
  };
}
