import { mkdtempSync, renameSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { nameless } from "../../../services/reaper/nameless.ts";

const address = "alice0000@chat.example.org";

function failureOf(work: () => void): unknown {
  try {
    work();
  } catch (cause) {
    return cause;
  }
  throw new Error("it did not fail");
}

it("says what went wrong and where, but not with whose file", () => {
  const folder = mkdtempSync(join(tmpdir(), "homing-nameless-"));
  const path = join(folder, address, "mail/.it's private/cur/1.x:2,S");
  const failures = [
    failureOf(() => unlinkSync(path)),
    failureOf(() => renameSync(path, `${path}'`)),
    failureOf(() => {
      throw new TypeError(`${address} names no folder`);
    }),
  ];
  rmSync(folder, { recursive: true });
  const texts = failures.map(nameless);
  expect(texts[0]).toMatch(/^Error: ENOENT: no such file or directory, unlink … \(at .+\)$/);
  expect(texts[1]).toMatch(/^Error: ENOENT: no such file or directory, rename … \(at .+\)$/);
  expect(texts[2]).toMatch(/^TypeError: … names no folder \(at .+\)$/);
  for (const text of texts) expect(text).not.toMatch(/alice|private/);
});
