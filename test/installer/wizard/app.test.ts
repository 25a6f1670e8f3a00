/** The wizard on a terminal (installer/wizard/app.ts): what keys do, what is drawn, which tasks run, what is kept. */
import { cleanup, render } from "ink-testing-library";
import { createElement } from "react";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Kept } from "../../../installer/wizard/answers.ts";
import { App } from "../../../installer/wizard/app.ts";
import type { Task } from "../../../installer/wizard/effects.ts";
import { domain, imaginedEffects, usual } from "./imagined-world.ts";

afterEach(cleanup);

const keys = {
  enter: "\r",
  escape: "\u001b",
  up: "\u001b[A",
  down: "\u001b[B",
  left: "\u001b[D",
  interrupt: "\u0003",
};
const backspace = "\u007f";
const look = { colours: true, signs: true, blocks: true };

/** A wizard in a terminal of its own; `frame` waits until it shows the text. */
function start(answers: Parameters<typeof imaginedEffects>[0] = {}, drawn: typeof look = look) {
  const effects = imaginedEffects(answers);
  const kept: Kept[] = [];
  const keep = async (_folder: string, state: Kept) => void kept.push(state);
  const terminal = render(createElement(App, { effects, look: drawn, keep }));
  const frame = async (text: string) => {
    await vi.waitFor(() => expect(terminal.lastFrame()).toContain(text), { timeout: 10_000, interval: 10 });
    return terminal.lastFrame()!;
  };
  /** Each key once the screen shows what stands before it. */
  const go = async (...steps: readonly (readonly [shown: string, ...typed: string[]])[]) => {
    for (const [shown, ...typed] of steps) {
      await frame(shown);
      for (const key of typed) terminal.stdin.write(key);
    }
  };
  return { effects, kept, terminal, frame, go };
}

const toCredential = [
  ["Begin", keys.enter],
  ["Domain:", domain, keys.enter],
  ["Raspberry Pi 3", keys.enter],
  ["Public address: 198.35.26.96", keys.enter],
  ["Fleet, where your domain is", keys.enter],
] as const;

describe("the wizard on a terminal", () => {
  it("goes by keys alone from the welcome to the image, and keeps each page", async () => {
    const { go, frame, effects, kept } = start();
    await go(
      ...toCredential,
      ["API token:", "sesame", keys.enter],
      ["+ chat.rosegarden.net A", keys.enter],
      ["Go on: make the image", keys.enter],
    );
    expect(await frame("Finish")).toContain("The image is made: chat.rosegarden.net-pi.img (702 MB).");
    const order: Task["kind"][] = [
      "relays",
      "domain",
      "make",
      "reach",
      "address",
      "plan",
      "apply",
      "watch",
      "build",
    ];
    expect(effects.tasks.map(({ kind }) => kind)).toEqual(order);
    expect(effects.tasks[5]).toMatchObject({ provider: "fleet", credentials: { token: "sesame" } });
    await vi.waitFor(() => expect(kept.at(-1)?.page).toBe("image"));
    const visited = kept.map(({ page }) => page).filter((page, index, all) => page !== all[index - 1]);
    expect(visited).toEqual(["place", "address", "provider", "credential", "plan", "options", "image"]);
    expect(JSON.stringify(kept)).not.toContain("sesame");
  });

  it("draws no letter of a secret in any frame", async () => {
    const { go, frame, terminal } = start();
    await go(...toCredential, ["API token:", "Ω", "ж", "ψΩжψ", keys.left, backspace, "ß"]);
    await frame("API token: ••••••");
    terminal.stdin.write(keys.enter);
    await frame("+ chat.rosegarden.net A");
    for (const one of terminal.frames) expect(one).not.toMatch(/[Ωжψß]/);
  });

  it("says at the field what is wrong with an answer, until something is typed", async () => {
    const { go, frame, terminal } = start();
    await go(["Begin", keys.enter], ["Domain:", "rose garden", keys.enter]);
    await frame("is not allowed in a name");
    terminal.stdin.write(backspace);
    await vi.waitFor(() => expect(terminal.lastFrame()).not.toContain("is not allowed"));
  });

  it("loses no key where a busy computer reads several at once", async () => {
    const { go, frame } = start();
    await go(["Begin", keys.enter], ["Domain:", `x${backspace}${domain}${keys.enter}`]);
    await frame("❯ Raspberry Pi 3");
  });

  it("takes a pasted text as one, without its line break", async () => {
    const { go, frame } = start();
    await go(["Begin", keys.enter], ["Domain:", `\u001b[200~${domain}\n\u001b[201~`]);
    expect(await frame(`Domain: ${domain}`)).toContain("step 1 of 5");
  });

  it("chooses by arrows and by number, and goes back by Esc", async () => {
    const { go, frame, terminal } = start();
    await go(["Begin", keys.enter], ["Domain:", domain, keys.enter], ["❯ Raspberry Pi 3", keys.down]);
    await go(
      ["❯ Raspberry Pi Zero 2", keys.up],
      ["❯ Raspberry Pi 3", keys.up],
      ["❯ Virtual machine at a hosting", "3"],
    );
    await frame("❯ Virtual machine on a computer");
    terminal.stdin.write(keys.escape);
    await frame(`Domain: ${domain}`);
  });

  it("stops a task by Esc: its work is told, and nothing waits for it", async () => {
    const stopped = vi.fn();
    const { go, frame } = start({
      domain: (_task, { signal }) =>
        new Promise(() => {
          signal.addEventListener("abort", stopped);
        }),
    });
    await go(["Begin", keys.enter], ["Domain:", domain, keys.enter], ["Looking at the domain", keys.escape]);
    await frame("Domain:");
    expect(stopped).toHaveBeenCalledOnce();
  });

  it("changes nothing before the folder keeps that a change was begun, and stops it by Esc where it may", async () => {
    const seen: string[] = [];
    let end = () => {};
    const { go, frame, kept } = start({
      apply: (_task, { signal }) =>
        new Promise((_, reject) => {
          seen.push(kept.at(-1)!.answers.dns);
          signal.addEventListener("abort", () => {
            end = () => reject(signal.reason);
          });
        }),
    });
    await go(...toCredential, ["API token:", "sesame", keys.enter], ["+ chat", keys.enter]);
    await vi.waitFor(() => expect(seen).toEqual(["begun"]));
    await go(["Setting the records", keys.escape]);
    await frame("Stopping after the record");
    end();
    expect(await frame("Stopped before anything was changed")).toContain("+ chat.rosegarden.net A");
    await vi.waitFor(() => expect(kept.at(-1)!.answers.dns).toBe("open"));
  });

  it("shows stages and progress of a build, and tries again after an error", async () => {
    let tries = 0;
    let seen = () => {};
    const drawn = new Promise<void>((resolve) => {
      seen = resolve;
    });
    const { go, frame } = start({
      build: async (_task, { report }) => {
        report({ stage: "Downloading packages", done: 5_000_000, total: 10_000_000, unit: "bytes" });
        report({ stage: "Packing files", done: 1, total: 4 });
        if (++tries > 1) return usual.build;
        await drawn;
        throw Object.assign(new Error("There is no room left."), { name: "NoRoomError" });
      },
    });
    await go(
      ...toCredential,
      ["API token:", "sesame", keys.enter],
      ["+ chat", keys.enter],
      ["Go on: make", keys.enter],
    );
    const shown = await frame("Packing files: 1 of 4 (25 %)");
    expect(shown).toContain("✓ Downloading packages");
    expect(shown).toContain("██████████░");
    seen();
    await go(["There is no room left.", keys.enter]);
    await frame("The image is made");
  });

  it("tells a screen reader in words what is marked and how findings stand", async () => {
    vi.stubEnv("INK_SCREEN_READER", "true");
    try {
      const { go, frame } = start();
      await go(["Begin", keys.enter], ["Domain:", domain, keys.enter]);
      const shown = await frame("1. Raspberry Pi 3");
      expect(shown).toContain("option: (selected) 1. Raspberry Pi 3, 4 or 5, at home");
      expect(shown).toContain("option: 2. Raspberry Pi Zero 2, at home");
      expect(shown).toContain("Good: The domain rosegarden.net exists");
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("draws without colours and signs where the terminal has none", async () => {
    const { go, frame } = start({}, { colours: false, signs: false, blocks: false });
    await go(["Begin", keys.enter], ["Domain:", domain, keys.enter]);
    const shown = await frame("> Raspberry Pi 3");
    expect(shown).toContain("+ The domain rosegarden.net exists");
    // Bold is left, which is no colour.
    expect(shown.replaceAll("\u001b[1m", "").replaceAll("\u001b[22m", "")).toMatch(/^[\x20-\x7e\n]*$/);
  });
});
