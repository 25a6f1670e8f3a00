/** Step: the name of the relay, and what the DNS says of it already. */
import { FREE_ENDING } from "../free-names.ts";
import type { State } from "../state.ts";
import { findings, gap, item, text, type View } from "../view.ts";

export function domainView({ found, answers, folder }: State): View {
  return {
    title: "The domain",
    blocks: [
      ...findings(found),
      text("Addresses on your relay will be NAME@DOMAIN. The domain cannot change once people use it."),
      gap,
      item(
        "Your own domain, or a name below it: example.org or chat.example.org. If the domain receives mail already, take a name below it.",
      ),
      item(
        `None yet? Type any name that ends in ${FREE_ENDING}, like rosegarden${FREE_ENDING}: deSEC, a charity, gives those away.`,
      ),
      ...(folder === undefined
        ? []
        : [
            gap,
            text(
              `Another name makes another relay. The folder of ${answers.domain} stays; delete it if you do not need it.`,
              "quiet",
            ),
          ]),
    ],
  };
}

export function domainAdviceView({ answers, found }: State): View {
  return { title: `The domain ${answers.domain}`, blocks: findings(found) };
}
