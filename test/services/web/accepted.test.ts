/** The memory of messages that came by HTTPS, over restarts and beyond its size. */
import { createHash } from "node:crypto";
import { appendFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";
import { openAccepted } from "../../../services/web/accepted.ts";

let folder: string;
const log = createLog(() => {});
const hashOf = (text: string) => createHash("sha256").update(text).digest();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-accepted-"));
});
afterEach(() => rm(folder, { recursive: true }));

it("knows what came, also after it was killed in the middle of a note", async () => {
  const path = join(folder, "accepted");
  const first = openAccepted(path, log);
  for (let i = 0; i < 100; i++) first.add(hashOf(`${i}`));
  await appendFile(path, "cut");
  const second = openAccepted(path, log);
  second.add(hashOf("after"));
  const third = openAccepted(path, log);
  for (let i = 0; i < 100; i++) expect(third.has(hashOf(`${i}`))).toBe(true);
  expect(third.has(hashOf("after"))).toBe(true);
  expect(third.has(hashOf("another"))).toBe(false);
  for (const one of [first, second]) one.close();
});

it("forgets the oldest first, and never the last so many", () => {
  const path = join(folder, "accepted");
  let accepted = openAccepted(path, log, 10);
  for (let i = 0; i < 100; i++) {
    accepted.add(hashOf(`${i}`));
    for (let back = 0; back < Math.min(10, i); back++) expect(accepted.has(hashOf(`${i - back}`))).toBe(true);
    if (i % 7 === 0) {
      accepted.close();
      accepted = openAccepted(path, log, 10);
    }
  }
  expect(accepted.has(hashOf("0"))).toBe(false);
  accepted.close();
});

it("takes zeros for a fingerprint as any other", () => {
  const accepted = openAccepted(join(folder, "accepted"), log);
  expect(accepted.has(Buffer.alloc(32))).toBe(false);
  accepted.add(Buffer.alloc(32));
  expect(accepted.has(Buffer.alloc(32))).toBe(true);
  accepted.close();
});

it("goes on in memory where no file can be written", () => {
  const accepted = openAccepted(join(folder, "missing", "accepted"), log);
  accepted.add(hashOf("one"));
  expect(accepted.has(hashOf("one"))).toBe(true);
});
