/** What is shown while a task runs: what is being done, and how far it is. */
import type { Task } from "../effects.ts";
import { progressBar, progressLine } from "../progress-words.ts";
import type { Running } from "../state.ts";
import { stoppingWords } from "../stop-words.ts";
import { drawing, finding, gap, item, text, type View } from "../view.ts";

export function runningView({ task, progress, speed, stages, stopping }: Running): View {
  const bar = progress === undefined ? "" : progressBar(progress);
  return {
    title: titles[task.kind],
    blocks: [
      stopping === undefined ? text(words(task)) : text(stoppingWords(task.kind), "warning"),
      gap,
      ...stages.map((stage) => finding("good", stage)),
      ...(progress === undefined ? [] : [item(progressLine(progress, speed), "… ")]),
      ...(bar === "" ? [] : [drawing(`  ${bar}`)]),
    ],
  };
}

const titles: Readonly<Record<Task["kind"], string>> = {
  relays: "One moment",
  open: "One moment",
  domain: "Looking at the domain",
  register: "Asking deSEC",
  login: "Asking deSEC",
  "keep-access": "One moment",
  make: "Making the keys",
  reach: "Looking at the line",
  address: "One moment",
  plan: "Comparing the records",
  apply: "Setting the records",
  undo: "Taking the change back",
  watch: "Waiting for the name servers",
  check: "Looking at the records",
  records: "One moment",
  "key-file": "Reading the key",
  options: "One moment",
  wifi: "One moment",
  build: "Making the image",
  disks: "Looking for cards",
  flash: "Writing the card",
};

function words(task: Task): string {
  switch (task.kind) {
    case "domain":
      return `What the DNS says of ${task.domain}`;
    case "make":
      return `The relay's keys are made, in a folder of its own.`;
    case "reach":
      return "How the Internet can reach this line. Each question waits some seconds at most.";
    case "plan":
      return "The provider is asked for the records that are there now.";
    case "apply":
      return "The zone as it is is kept in a file; then the records are written, and no others.";
    case "undo":
      return "What the change wrote goes; what was there before comes back.";
    case "watch":
      return "The records are set. All name servers are asked until they show them, which may take minutes; you need not wait for it.";
    case "build":
      return "Debian packages are fetched, checked and put together; the first time takes some minutes. Stopped, it goes on another time with what it has.";
    case "flash":
      return `Do not pull out ${task.disk.label}. What was written is read back and compared. Stopped halfway, the card starts nothing until it is written again.`;
    default:
      return "Please wait.";
  }
}
