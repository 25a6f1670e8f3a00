/** The canary's key, when the clock was wrong or the disk is. */
import { mkdtemp, readFile, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateKey } from "openpgp";
import { expect, it } from "vitest";
import { openKey } from "../../../services/probe/account.ts";
import { readLetter, writeLetter } from "../../../services/probe/letter.ts";

it("keeps its key, and makes another one when it is of a time to come or cannot be read", async () => {
  const folder = await mkdtemp(join(tmpdir(), "homing-canary-"));
  try {
    const path = join(folder, "key.asc");
    const first = await openKey(folder);
    expect((await openKey(folder)).getFingerprint()).toBe(first.getFingerprint());
    const tomorrow = new Date(Date.now() + 86_400_000);
    const ahead = await generateKey({ userIDs: [{ name: "canary" }], format: "armored", date: tomorrow });
    await writeFile(path, ahead.privateKey);
    const key = await openKey(folder);
    const { raw, content } = await writeLetter("canary@chat.example.org", key);
    expect(await readLetter(Buffer.from(raw), key)).toBe(content);
    expect((await openKey(folder)).getFingerprint()).toBe(key.getFingerprint());
    await unlink(path);
    await symlink("key.asc", path);
    const anew = await openKey(folder);
    expect(await readFile(path, "utf8")).toBe(anew.armor());
  } finally {
    await rm(folder, { recursive: true });
  }
});
