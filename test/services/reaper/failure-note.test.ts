import { existsSync } from "node:fs";
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { noteFailures } from "../../../services/reaper/failure-note.ts";
import type { RunMode } from "../../../services/reaper/run.ts";

it.each<[string, [RunMode, number, boolean][]]>([
  [
    "of a daily run until a daily run comes to everything",
    [
      ["expire", 2, true],
      ["full", 0, true],
      ["leaving", 0, true],
      ["room", 0, true],
      ["room", 1, true],
      ["expire", 1, true],
      ["expire", 0, false],
      ["expire", 0, false],
    ],
  ],
  [
    "of a run for full mailboxes until the next look at them",
    [
      ["full", 1, true],
      ["full", 0, true],
      ["leaving", 0, true],
      ["room", 0, false],
    ],
  ],
  [
    "of a deletion until the next one",
    [
      ["leaving", 1, true],
      ["room", 1, true],
      ["leaving", 0, true],
      ["room", 0, false],
    ],
  ],
])("is there %s", async (_, runs) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), "homing-note-"));
  const path = join(folder.path, "failed");
  for (const [mode, failures, isThere] of runs) {
    await noteFailures(path, mode, failures);
    expect([mode, existsSync(path)]).toEqual([mode, isThere]);
  }
});
