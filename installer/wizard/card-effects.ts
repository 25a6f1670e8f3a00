/** The part of the wizard's work that has to do with cards: what `./homing flash` does. Called by real-effects.ts. */
import type { Effects, Finding } from "./effects.ts";

export function cardEffects(): Pick<Effects, "disks" | "flash"> {
  return {
    async disks({ image }, { signal }) {
      const why = whyNobodyMay(image);
      if (why !== undefined) return { disks: [], findings: [{ mark: "note", text: why }] };
      const [{ listDisks }, { imageBytes }, { diskText, whyNot }, { holdsRelay }] = await Promise.all([
        import("../flash/listing.ts"),
        import("../flash/image-file.ts"),
        import("../flash/disk.ts"),
        import("../flash/keep-relay.ts"),
      ]);
      const [all, bytes] = await Promise.all([listDisks(signal), imageBytes(image)]);
      const usable = all.filter((disk) => whyNot(disk, bytes) === undefined);
      const refused = all.filter((disk) => disk.removable && whyNot(disk, bytes) !== undefined);
      const none: Finding = {
        mark: "warning",
        text: "There is no card to write to: put one in and look again.",
      };
      return {
        disks: await Promise.all(
          usable.map(async (disk) => ({
            path: disk.device,
            label: diskText(disk),
            // One whose start cannot be read tells why when it is written to.
            isRelay: await holdsRelay(disk.device).catch(() => false),
          })),
        ),
        findings: [
          ...(usable.length === 0 ? [none] : []),
          ...refused.map(
            (disk): Finding => ({
              mark: "note",
              text: `${diskText(disk)} is not offered: ${whyNot(disk, bytes)}`,
            }),
          ),
        ],
      };
    },
    async flash({ image, disk: { path, label, isRelay } }, { report, signal }) {
      const [{ writeDisk }, { imageBytes }, { keepRelay }, { eject }, { stillThere }] = await Promise.all([
        import("../flash/write.ts"),
        import("../flash/image-file.ts"),
        import("../flash/keep-relay.ts"),
        import("../flash/eject.ts"),
        import("../flash/still-there.ts"),
      ]);
      const bytes = await imageBytes(image);
      await stillThere(path, label, bytes, signal);
      // Agreed to when it was seen that there is one.
      if (!isRelay) await keepRelay(path);
      await writeDisk({ image, imageBytes: bytes, device: path, onProgress: report, signal });
      const ejected = await eject(path);
      const then = ejected ? "and can be pulled out" : "; eject it before you pull it out";
      return { findings: [{ mark: "good", text: `${label} holds the relay now ${then}.` }] };
    },
  };
}

/** Windows lets nobody write to whole disks from here, other systems only root. */
function whyNobodyMay(image: string): string | undefined {
  if (process.platform === "win32") return "On Windows Raspberry Pi Imager writes the card, as said below.";
  if (process.getuid?.() === 0) return undefined;
  return `Writing to a card takes more rights: sudo ./homing flash ${image}; or Raspberry Pi Imager, as said below.`;
}
