/** Steps: the image is made, and goes to a card or into a virtual machine. */
import { imagerSteps } from "../../flash/imager-help.ts";
import { places } from "../answers.ts";
import type { State } from "../state.ts";
import { findings, gap, text, type View, verbatim } from "../view.ts";

export function imageView({ found, answers }: State): View {
  const forPi = answers.place !== undefined && places[answers.place].target === "pi";
  return {
    title: "The image",
    blocks: [
      ...findings(found),
      ...(found.length === 0 ? [text("The image is in the file"), verbatim(`  ${answers.image}`), gap] : []),
      ...(forPi
        ? imagerSteps(answers.image ?? "").map((line) => verbatim(line))
        : machine(answers.image ?? "")),
      gap,
      text("It holds the relay's secret keys: do not give it away."),
    ],
  };
}

function machine(image: string) {
  return [
    text(
      "Give it to your hypervisor or provider as the disk of a machine: x86-64, BIOS or UEFI without Secure Boot, 512 MB of memory or more. Make the disk 2 GB or larger first:",
    ),
    verbatim(`  qemu-img resize -f raw ${image} 8G`),
  ];
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
      text("Everything on it will be gone for good.", "bad"),
    ],
  };
}
