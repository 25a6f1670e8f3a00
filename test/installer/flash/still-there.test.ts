/** A disk that is looked at again before it is written to. */
import { expect, test } from "vitest";
import { type Disk, diskText } from "../../../installer/flash/disk.ts";
import { stillThere } from "../../../installer/flash/still-there.ts";

const card: Disk = {
  device: "/dev/sdb",
  model: "Card",
  bytes: 32e9,
  removable: true,
  readOnly: false,
  system: false,
  mounts: [],
};
const check = (...now: Disk[]) =>
  stillThere(card.device, diskText(card), 1e9, new AbortController().signal, async () => now);

test("is written to when it is there as it was", async () => {
  await expect(check({ ...card, device: "/dev/sdc" }, card)).resolves.toBeUndefined();
});

test.each<[string, Disk[], RegExp]>([
  ["it is gone", [], /not there any more/],
  ["another one got its name", [{ ...card, model: "Backup Disk" }], /not there any more/],
  ["one of another size got its name", [{ ...card, bytes: 64e9 }], /not there any more/],
  ["a desktop has mounted it", [{ ...card, mounts: ["/media/x"] }], /in use at \/media\/x/],
])("is left alone when %s", async (_, now, words) => {
  await expect(check(...now)).rejects.toThrow(words);
});
