/** The pages about the image and the card, without a terminal (installer/wizard/submit-image.ts, image-choices.ts, steps/image.ts). */
import { describe, expect, it } from "vitest";
import { choicesOf } from "../../../installer/wizard/choices.ts";
import { hypervisorFor, hypervisorIds, hypervisors } from "../../../installer/wizard/hypervisors.ts";
import { reduce } from "../../../installer/wizard/reduce.ts";
import { screenOf } from "../../../installer/wizard/screen.ts";
import { keptOf, type State } from "../../../installer/wizard/state.ts";
import { domain, type Said, usual, walk } from "./imagined-world.ts";

/** `place`: the number of the choice. */
const toOptions = (place: number): readonly Said[] => [
  ...[{ choose: 0 }, { text: domain }, { choose: place }, { text: "198.35.26.96" }],
  ...[{ choose: 0 }, { text: "sesame" }, { choose: 0 }],
];
const ON_SERVER = 3;
const submit = (state: State) => reduce(state, { type: "submit" });
const atHypervisor = () => walk([...toOptions(ON_SERVER), { choose: 0 }]);

/** Before what is wanted then is done. */
function choose(state: State, id: string): State {
  const at = choicesOf(state).findIndex((choice) => choice.id === id);
  return submit(reduce(state, { type: "choose-number", number: at + 1 }));
}
const shown = (state: State) =>
  screenOf(state, { columns: 80, rows: 24 })
    .rows.map(({ text }) => text)
    .join(" ")
    .replaceAll(/\s+/g, " ");

describe("the image of a virtual machine", () => {
  it("is a file of the kind that its program takes", () => {
    const asked = atHypervisor();
    expect(asked.page).toBe("hypervisor");
    for (const [id, form] of [
      ["proxmox", "qcow2"],
      ["libvirt", "qcow2"],
      ["utm", "qcow2"],
      ["virtualbox", "vmdk"],
      ["vmware", "vmdk"],
      ["other", "raw"],
    ] as const) {
      const state = choose(asked, id);
      expect(state.running?.task).toMatchObject({ kind: "build", target: "vm", form });
      expect(keptOf(state)?.kept.answers.hypervisor).toBe(id);
    }
  });

  it("is never asked about for a Pi", () => {
    const state = submit(walk(toOptions(0)));
    expect(state.running?.task).toMatchObject({ kind: "build", target: "pi", form: "raw" });
  });

  it("takes the place of a relay only when that is given up, and lies beside it otherwise", () => {
    const taken = { path: "x.img", isRelay: true, free: "x-2.img" };
    const build = { kind: "build", built: undefined, taken } as const;
    const state = walk([{ choose: 0 }], { build }, atHypervisor());
    expect(state).toMatchObject({ page: "taken", choice: 0 });
    expect(choose(state, "beside").running?.task).toMatchObject({ out: "x-2.img" });
    expect(choose(state, "beside").running?.task).not.toHaveProperty("replace");
    expect(choose(state, "replace").running?.task).toMatchObject({ replace: true });
    expect(choose(state, "back").page).toBe("options");
    const strange = { ...build, taken: { ...taken, isRelay: false } };
    const foreign = walk([{ choose: 0 }], { build: strange }, atHypervisor());
    expect(choicesOf(foreign).map(({ id }) => id)).toEqual(["beside", "back"]);
  });
});

describe("what to do with the image", () => {
  it.each(hypervisorIds)("is said for %s, with the file's name", (id) => {
    const { form } = hypervisors[id];
    const image = `chat-vm.${form === "raw" ? "img" : form}`;
    const state = walk([{ choose: 0 }], {}, atHypervisor());
    const answers = { ...state.answers, place: "vm-home", hypervisor: id, image } as const;
    const text = shown({ ...state, page: "image", found: [], answers });
    for (const step of hypervisors[id].steps(image)) {
      const words = "command" in step ? step.command : step.words;
      expect(text.replaceAll(" \\ ", " ")).toContain(words);
    }
    expect(text).toContain(image);
  });

  it("is that of another program where the file is of an earlier answer", () => {
    expect(hypervisorFor("vmware", "x.vmdk")).toBe("vmware");
    expect(hypervisorFor("vmware", "x.qcow2")).toBe("libvirt");
    expect(hypervisorFor("proxmox", "x.img")).toBe("other");
    expect(hypervisorFor(undefined, "x.img")).toBe("other");
  });
});

describe("a card that has been a relay", () => {
  it("is written to only when its accounts and mail are given up in so many words", () => {
    const disk = { path: "/dev/sdq", label: "SanDisk Ultra, 31.9 GB (/dev/sdq)", isRelay: true };
    const disks = { kind: "disks", disks: [disk], findings: [] } as const;
    let state = walk([...toOptions(0), { choose: 0 }]);
    state = walk([{ choose: 1 }], { disks }, state);
    expect(shown(state)).toContain("it has been a relay");
    state = submit(state);
    expect(state).toMatchObject({ page: "disk-sure", choice: 0 });
    expect(shown(state)).toContain("Its accounts and mail will be gone for good.");
    expect(choose(state, "yes").running?.task).toEqual({
      kind: "flash",
      image: usual.build.built?.path,
      disk,
    });
  });
});
