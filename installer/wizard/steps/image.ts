/** Steps: the image is made, and goes to a card or into a virtual machine. */
import { imagerSteps } from "../../flash/imager-help.ts";
import { places } from "../answers.ts";
import { type HypervisorId, hypervisorFor, hypervisors, type ImportStep } from "../hypervisors.ts";
import type { State } from "../state.ts";
import { type Block, command, findings, gap, item, text, type View, verbatim } from "../view.ts";

export function hypervisorView({ found }: State): View {
  return {
    title: "The virtual machine",
    blocks: [
      ...findings(found),
      text("Which program will run it? The image becomes the disk file that it takes."),
    ],
  };
}

export function takenView({ known: { taken }, found }: State): View {
  const why =
    taken?.isRelay === true
      ? "is an image that has been booted: the accounts and mail of a relay are in it."
      : "is there already and is no image made by Homing, so it is not replaced.";
  return { title: "There is such a file", blocks: [...findings(found), text(`${taken?.path ?? ""} ${why}`)] };
}

export function imageView({ found, answers }: State): View {
  const forPi = answers.place !== undefined && places[answers.place].target === "pi";
  const image = answers.image ?? "";
  return {
    title: "The image",
    blocks: [
      ...findings(found),
      ...(found.length === 0 ? [text("The image is in the file"), item(image, "  "), gap] : []),
      ...(forPi
        ? imagerSteps(image).map(imagerBlock)
        : machine(hypervisorFor(answers.hypervisor, image), image)),
      gap,
      text("It holds the relay's secret keys: do not give it away."),
    ],
  };
}

/** Steps have a number in front, and what is below a step is a path. */
function imagerBlock(line: string): Block {
  const [, sign = "", words = line] = /^( +(?:\d\. )?)(.*)$/.exec(line) ?? [];
  return item(words, sign);
}

function machine(hypervisor: HypervisorId, image: string): Block[] {
  const steps: readonly ImportStep[] = hypervisors[hypervisor].steps(image);
  return steps.map((step) => ("command" in step ? command(step.command) : text(step.words)));
}

export function diskView({ found }: State): View {
  return {
    title: "The card",
    blocks: [...findings(found), text("Everything on the card that you choose will be erased.")],
  };
}

export function diskSureView({ known, found }: State): View {
  return {
    title: "Erase this card?",
    blocks: [
      ...findings(found),
      verbatim(`  ${known.disk?.label ?? ""}`),
      gap,
      text(
        known.disk?.isRelay === true
          ? "It holds a relay that has been running. Its accounts and mail will be gone for good."
          : "Everything on it will be gone for good.",
        "bad",
      ),
    ],
  };
}
