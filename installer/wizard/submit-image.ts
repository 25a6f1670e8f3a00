/** What an answer on the pages about the image and the card leads to, and how a build begins. Pure; called by submit.ts. */
import { places } from "./answers.ts";
import type { Task } from "./effects.ts";
import { type HypervisorId, hypervisors } from "./hypervisors.ts";
import type { ImagePage } from "./image-choices.ts";
import { goBack, goTo, startTask } from "./moves.ts";
import type { State } from "./state.ts";

/** A Pi has one kind of file; which a virtual machine wants is asked first. */
export function beginImage(state: State): State {
  const { place } = state.answers;
  return place !== undefined && places[place].target === "vm" ? goTo(state, "hypervisor") : build(state);
}

export function submitImagePage(page: ImagePage, state: State, id: string): State {
  const { answers, known } = state;
  switch (page) {
    case "hypervisor": {
      const hypervisor = id as HypervisorId;
      return build({ ...state, answers: { ...answers, hypervisor } });
    }
    case "taken":
      if (id === "back") return goTo(state, "options");
      return build(state, id === "replace" ? { replace: true } : { out: known.taken?.free ?? "" });
    case "image":
      return submitFinished(state, id);
    case "disk": {
      const disk = known.disks.find(({ path }) => path === id);
      return disk === undefined ? state : goTo({ ...state, known: { ...known, disk } }, "disk-sure");
    }
    case "disk-sure":
      if (id === "no" || known.disk === undefined || answers.image === undefined) return goBack(state);
      return startTask(state, { kind: "flash", image: answers.image, disk: known.disk });
  }
}

function build(
  state: State,
  more: Partial<Pick<Extract<Task, { kind: "build" }>, "out" | "replace">> = {},
): State {
  const { folder = "", answers } = state;
  const { place = "pi", hypervisor = "other" } = answers;
  const { target } = places[place];
  const form = target === "vm" ? hypervisors[hypervisor].form : "raw";
  return startTask(state, { kind: "build", folder, target, form, ...more });
}

function submitFinished(state: State, id: string): State {
  switch (id) {
    case "disks":
      return startTask(state, { kind: "disks", image: state.answers.image ?? "" });
    case "dns":
      return goTo(state, state.answers.addresses.length === 0 ? "address" : "provider");
    case "options":
      return goTo(state, "options");
    default:
      return { ...state, ended: "done" };
  }
}
