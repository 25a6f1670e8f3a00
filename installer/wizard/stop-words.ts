/** What is said while a task ends before its time, and what it has left then. Pure; called by moves.ts and steps/. */
import type { TaskKind } from "./effects.ts";

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
      return "Stopping after what is being written. The card then holds no relay: write it again.";
    default:
      return "Stopping.";
  }
}

/** Once it has ended. */
export function stoppedWords(kind: TaskKind): string {
  switch (kind) {
    case "apply":
      return "Stopped before anything was changed.";
    case "undo":
      return "Stopped: some records may be taken back, and others not yet. Choose again what to do.";
    case "watch":
      return "Not waited for: the records are set, and name servers show them in minutes. ./homing dns check tells.";
    case "build":
      return "Stopped: no image was made. What was fetched is kept for the next time.";
    case "flash":
      return "Stopped: the card holds no whole relay now. Write it again.";
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
