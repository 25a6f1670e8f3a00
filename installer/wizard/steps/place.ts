/** Steps: where the relay will run, and by which address the Internet reaches it. */
import { places } from "../answers.ts";
import type { State } from "../state.ts";
import { findings, gap, item, text, type View } from "../view.ts";

export function placeView({ found, answers }: State): View {
  return {
    title: "Where it will run",
    blocks: [...findings(found), text(`What shall ${answers.domain} run on?`)],
  };
}

/** Where nothing is known of the line. */
const usualStep = "The router must forward the ports 25, 80, 143, 443, 465, 587 and 993 to the relay.";

export function addressView({ found, answers, known }: State): View {
  const atHome = answers.place !== undefined && places[answers.place].line === "home";
  return {
    title: atHome ? "The line to the Internet" : "The address of the server",
    blocks: [
      ...findings(found),
      text(
        atHome
          ? "By which public address does the Internet reach your line? IPv4, IPv6, or both with a space between."
          : "Which public addresses does the server have? IPv4, IPv6, or both with a space between.",
      ),
      ...(atHome
        ? [gap, ...(known.routerSteps.length > 0 ? known.routerSteps : [usualStep]).map((step) => item(step))]
        : []),
    ],
    advice: "Not known yet? Leave it empty; the DNS records then wait.",
  };
}
