/**
 * `./homing flash`: writes an image to a card or stick and reads it back. Only disks that can be pulled out, that
 * nothing uses, and after two questions.
 */
import { resolve } from "node:path";
import type { ProgressReport } from "../../image/progress.ts";
import { ask } from "../ask.ts";
import { type Command, type CommandIo, parseCommandArgs, print, UsageError } from "../command.ts";
import { type Disk, diskText, whyNot } from "../flash/disk.ts";
import { eject } from "../flash/eject.ts";
import { imageBytes } from "../flash/image-file.ts";
import { imagerSteps } from "../flash/imager-help.ts";
import { keepRelay } from "../flash/keep-relay.ts";
import { listDisks } from "../flash/listing.ts";
import { stillThere } from "../flash/still-there.ts";
import { FlashError, NoRightsError, writeDisk } from "../flash/write.ts";
import { jsonEvents } from "../json-events.ts";
import { withProgress } from "../progress.ts";

export const command: Command = {
  name: "flash",
  summary: "write an image to a card or stick, and check it",
  usage: "flash IMAGE [DEVICE] [--list] [--yes] [--replace] [--json]",
  help: `
Writes the image (.img or .img.zst, made by ./homing build) to a card or stick, reads it back and ejects it. What was on
the disk is lost. Without DEVICE it lists the disks that can be written to and asks for one. Writing needs the right to
do so (root, on Linux and macOS: sudo); without it the steps of Raspberry Pi Imager are printed. On Windows disks are
listed, and Imager writes.

Never written to: disks that are built in, that this computer runs from, that are mounted or write-protected, or that are
too small. Before anything is written it asks twice.

  --list       list all disks, and why those that cannot be written to cannot
  --yes        ask nothing; DEVICE has to be given
  --replace    write also over a relay that has been running: its accounts and mail are lost
  --json       for scripts: one JSON object a line on standard output. Its "event" is "disk" (device, model, bytes,
               refused: why it cannot be written to), "progress", and at the end "done" (device, bytes, ejected) or
               "error" (name, message); sizes are in bytes
`,
  run,
};

async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommandArgs(args, {
    list: { type: "boolean" },
    yes: { type: "boolean" },
    replace: { type: "boolean" },
    json: { type: "boolean" },
  });
  const [given, device, surplus] = positionals;
  if (given === undefined) throw new UsageError("which image? Give the file that ./homing build made");
  if (surplus !== undefined) throw new UsageError(`unexpected argument “${surplus}”`);
  if (values.yes && device === undefined && !values.list) {
    throw new UsageError("which disk? With --yes it has to be given; --list shows all");
  }
  const image = resolve(given);
  const bytes = await imageBytes(image);
  const disks = await listDisks(io.signal);
  if (values.list) {
    await list(disks, bytes, values.json === true, io);
    return 0;
  }
  const disk = device === undefined ? await choose(disks, bytes, image, io) : named(disks, device, bytes);
  if (process.platform === "win32")
    throw new NoRightsError(withImager("Windows lets nobody write here", image));
  if (!values.replace) await keepRelay(disk.device);
  if (!values.yes) {
    await agreeTwice(disk, image, io);
    await stillThere(disk.device, diskText(disk), bytes, io.signal);
    if (!values.replace) await keepRelay(disk.device);
  }
  const write = async (onProgress: ProgressReport) => {
    try {
      await writeDisk({ image, imageBytes: bytes, device: disk.device, onProgress, signal: io.signal });
    } catch (error) {
      if (!(error instanceof NoRightsError)) throw error;
      throw new NoRightsError(withImager(`${error.message}; say sudo ./homing flash …`, image), {
        cause: error,
      });
    }
  };
  if (values.json) {
    const events = jsonEvents(io.stdout);
    await write(events.report);
    await events.tell({ event: "done", device: disk.device, bytes, ejected: await eject(disk.device) });
    return 0;
  }
  await withProgress(io.stderr, write);
  const ejected = await eject(disk.device);
  await print(
    io.stdout,
    `${diskText(disk)} holds the relay now${ejected ? " and can be pulled out" : "; eject it before you pull it out"}.\n` +
      "Put it into the machine and plug in network and power. About a minute later its screen shows “homing: ready”.\n" +
      "The image holds the relay's secret keys, and so does the card until its first start: keep both to yourself.\n",
  );
  return 0;
}

async function list(disks: readonly Disk[], bytes: number, json: boolean, io: CommandIo): Promise<void> {
  const lines = disks.map((disk) => {
    const refused = whyNot(disk, bytes);
    if (!json)
      return `${refused === undefined ? "✓" : "✗"} ${diskText(disk)}${refused ? `: ${refused}` : ""}`;
    const { device, model, bytes: size } = disk;
    return JSON.stringify({ event: "disk", device, model, bytes: size, refused: refused ?? null });
  });
  if (lines.length > 0 || json) await print(io.stdout, lines.map((line) => `${line}\n`).join(""));
  else await print(io.stdout, "This computer shows no disks.\n");
}

/** The disk of that name, if it may be written to. Throws FlashError. */
function named(disks: readonly Disk[], device: string, bytes: number): Disk {
  const disk = disks.find((one) => one.device === device);
  if (disk === undefined) {
    throw new FlashError(
      `there is no disk ${device}; ./homing flash IMAGE --list shows all (give a disk, no partition)`,
    );
  }
  const refused = whyNot(disk, bytes);
  if (refused !== undefined) throw new FlashError(`${diskText(disk)} is not written to: ${refused}`);
  return disk;
}

async function choose(disks: readonly Disk[], bytes: number, image: string, io: CommandIo): Promise<Disk> {
  const usable = disks.filter((disk) => whyNot(disk, bytes) === undefined);
  if (usable.length === 0) {
    const others = disks
      .filter((disk) => disk.removable)
      .map((disk) => `\n  ${diskText(disk)}: ${whyNot(disk, bytes)}`)
      .join("");
    throw new FlashError(
      withImager(`there is no card or stick to write to; plug one in and start again${others}`, image),
    );
  }
  const rows = usable.map((disk, index) => `  ${index + 1}  ${diskText(disk)}`).join("\n");
  const text = `Disks that can be written to:\n${rows}\n`;
  io.stderr.write(text);
  for (;;) {
    const answer = await ask(io, {
      text: `Which one? 1 to ${usable.length}: `,
      instead: "the DEVICE to write to",
    });
    const disk = /^\d{1,3}$/.test(answer) ? usable[Number(answer) - 1] : undefined;
    if (disk !== undefined) return disk;
    io.stderr.write(`There is no “${answer}”. Ctrl-C leaves all as it is.\n`);
  }
}

async function agreeTwice(disk: Disk, image: string, io: CommandIo): Promise<void> {
  const stopped = () => new FlashError("nothing was written");
  io.stderr.write(`Image: ${image}\nDisk:  ${diskText(disk)}\n`);
  const first = await ask(io, { text: "Everything on this disk will be lost. Type yes: ", instead: "--yes" });
  if (first.toLowerCase() !== "yes") throw stopped();
  const second = await ask(io, { text: `To be sure, type its name, ${disk.device}: `, instead: "--yes" });
  if (second !== disk.device) throw stopped();
}

function withImager(problem: string, image: string): string {
  return [problem, ...imagerSteps(image)].join("\n");
}
