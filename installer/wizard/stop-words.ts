/** What is said while a task ends before its time, and what it has left then. Pure; called by moves.ts and steps/. */
import { readingStage } from "../flash/stages.ts";
import type { TaskKind } from "./effects.ts";
import type { Running } from "./state.ts";

/** While it ends where nothing is left half-done. */
export function stoppingWords(kind: TaskKind): string {
  switch (kind) {
    case "apply":
    case "undo":
      return "Stopping after the record that is being written; then it is said what was written and what was not.";
    case "register":
    case "login":
      return "Stopping as soon as deSEC has answered.";
    case "build":
      return "Stopping; what was fetched stays for the next time, and no half image is left.";
    case "flash":
      return "Stopping after what is being written or read.";
    default:
      return "Stopping.";
  }
}

/** Once it has ended. */
export function stoppedWords({ task, progress }: Pick<Running, "task" | "progress">): string {
  switch (task.kind) {
    case "apply":
      return "Stopped before anything was changed.";
    case "undo":
      return "Stopped: some records may be taken back, and others not yet. Choose again what to do.";
    case "watch":
      return "Not waited for: the records are set, and name servers show them in minutes. ./homing dns check tells.";
    case "build":
      return "Stopped: no image was made, and one that was there is as it was. What was fetched is kept for the next time.";
    case "flash":
      if (progress === undefined) return "Stopped: nothing was written to the card.";
      return progress.stage === readingStage
        ? "Stopped: the card is written but was not compared, so nobody knows yet if it is good. Better write it again."
        : "Stopped: what was on the card is gone, and nothing starts from it. Write it again.";
    case "plan":
    case "check":
      return "Stopped; nothing was changed.";
    case "reach":
      return "Stopped; nothing is known of this line.";
    case "register":
    case "login":
      return "Stopped; deSEC may have taken the last request.";
    default:
      return "Stopped; nothing was changed.";
  }
}
