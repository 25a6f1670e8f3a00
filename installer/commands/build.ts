/**
 * `./homing build`: makes a disk image from a relay folder. What is fetched and built is kept in a cache; the
 * same relay folder, lock file and version give the same bytes.
 */
import { isTestDomain } from "../../appliance/domain.ts";
import { type ImageForm, targets } from "../../image/build.ts";
import type { TargetName } from "../../image/targets/target.ts";
import { type BuildOrder, type Built, buildRelay, outputName } from "../build-relay.ts";
import { type Command, type CommandIo, parseCommandArgs, UsageError } from "../command.ts";
import { jsonEvents } from "../json-events.ts";
import { withProgress } from "../progress.ts";
import { shellQuote } from "../shell-quote.ts";

export const command: Command = {
  name: "build",
  summary: "make a disk image from a relay folder, for a virtual machine or a Raspberry Pi",
  usage:
    "build FOLDER --target vm|pi [--out FILE] [--compress] [--format raw|qcow2|vmdk] [--mirror URL] [--cache DIR] [--refresh] [--replace] [--json]",
  help: `
Makes the disk image of the relay in FOLDER (made by ./homing init). The first build fetches Debian packages (about
170 MB for either target) and, from npm, Node for a device of another kind than this computer (52 MB). Then a build takes
half a minute to two minutes, and seconds when nothing but the relay's settings changed. Nothing on this computer is
changed but the image and the cache.

  --target vm    a virtual machine: x86-64, UEFI or BIOS
  --target pi    a Raspberry Pi 3, 4, 5 or Zero 2; also other arm64 machines with UEFI
  --out FILE     the image (default: FOLDER's name with -vm.img or -pi.img, in the current folder)
  --format FORM  raw (default), or for virtual machines the disk file of a hypervisor, which shows a disk of 8 GiB and
                 grows as it fills: qcow2 (QEMU, libvirt, Proxmox, UTM) or vmdk (VMware, VirtualBox)
  --compress     write it compressed, half the size or less (.img.zst), as Raspberry Pi Imager and zstd -d take it
  --mirror URL   the Debian mirror to fetch from, like https://ftp.debian.org/debian (default: DEBIAN_MIRROR and
                 DEBIAN_SECURITY_MIRROR from the environment, else the one of Debian that this computer's apt uses,
                 and else https://ftp.debian.org/debian)
  --cache DIR    where downloads and root file systems are kept (default: ~/.cache/homing)
  --refresh      take the newest Debian packages instead of those in the lock file, for this image only; the list of
                 them is kept beside it (FILE.lock.json), for ./homing audit
  --replace      replace the image also when it has been booted: its accounts and mail are lost
  --json         for scripts: nothing but JSON on standard output, one object a line. Its "event" is "progress" (stage,
                 and done of total in unit where they can be known), "note" (message), and at the end "done" (target,
                 path with its bytes, sha256 and format, compressed, image with bytes and sha256 of what is in it, rootfs,
                 sbom, lock with --refresh, dnsRecords) or "error" (name, message); paths are absolute

A proxy is used when HTTP_PROXY, HTTPS_PROXY and NO_PROXY name one. After a break the same command goes on with the
downloads where they were.

The image holds the relay's secret keys: keep it as you keep the relay folder. Beside it lies FILE.cdx.json, which
lists every Debian and npm package in it (CycloneDX 1.6), and for a Pi FILE.rpi-imager-manifest, by which Raspberry Pi
Imager 2 knows the image; they hold nothing secret. Those of an earlier image of that name go with it.
`,
  run,
};

async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommandArgs(args, {
    target: { type: "string" },
    out: { type: "string" },
    mirror: { type: "string" },
    cache: { type: "string" },
    compress: { type: "boolean" },
    format: { type: "string" },
    refresh: { type: "boolean" },
    replace: { type: "boolean" },
    json: { type: "boolean" },
  });
  const [folder, surplus] = positionals;
  if (folder === undefined) throw new UsageError("which relay? Give the folder that ./homing init made");
  if (surplus !== undefined) throw new UsageError(`unexpected argument “${surplus}”`);
  const target = parseTarget(values.target);
  const form = parseForm(values, target);
  const out = outputName(folder, target, { out: values.out, form });
  const { mirror, cache, refresh, replace } = values;
  const order: BuildOrder = { folder, target, out, form, mirror, cache, refresh, replace };
  if (!values.json) {
    const built = await withProgress(io.stderr, (onProgress) => buildRelay(order, io, onProgress));
    io.stdout.write(summary(built, target, form));
    for (const note of built.notes) io.stderr.write(`Note: ${note}\n`);
    return 0;
  }
  const events = jsonEvents(io.stdout);
  try {
    const built = await buildRelay(order, io, events.report);
    for (const message of built.notes) await events.tell({ event: "note", message });
    await events.tell({ event: "done", ...resultFields(built, target, form) });
    return 0;
  } catch (error) {
    events.finish();
    throw error; // telling it is the command line's (installer/main.ts)
  }
}

function parseTarget(target: string | undefined): TargetName {
  if (target === "vm" || target === "pi") return target;
  const choices = Object.keys(targets).join(" or --target ");
  throw new UsageError(
    target === undefined
      ? `for which machine? --target ${choices}`
      : `there is no target “${target}”; use --target ${choices}`,
  );
}

function parseForm(
  { compress = false, format = "raw" }: { compress?: boolean | undefined; format?: string | undefined },
  target: TargetName,
): ImageForm {
  if (format !== "raw" && format !== "qcow2" && format !== "vmdk") {
    throw new UsageError(`there is no format “${format}”; use --format raw, qcow2 or vmdk`);
  }
  if (format === "raw") return compress ? "zst" : "raw";
  if (compress) throw new UsageError("--compress is for raw images: give it or another --format, not both");
  if (target !== "vm") throw new UsageError(`--format ${format} is for virtual machines: --target vm`);
  return format;
}

/** For scripts: `bytes` and `sha256` of the file at `path`, and what is in it once that is decompressed. */
function resultFields(
  { image, sbom, packages, records }: Built,
  target: TargetName,
  form: ImageForm,
): Record<string, unknown> {
  const { path, bytes, sha256, packed, rootfs } = image;
  return {
    target,
    path,
    bytes: packed?.bytes ?? bytes,
    sha256: packed?.sha256 ?? sha256,
    format: form === "zst" ? "raw" : form,
    compressed: form === "zst",
    image: { bytes, sha256 },
    rootfs: { bytes: rootfs.bytes, sha256: rootfs.sha256, reused: rootfs.reused },
    sbom,
    ...(packages !== undefined && { lock: packages }),
    dnsRecords: records,
  };
}

/** What is printed at the end. */
export function summary(
  { domain, image, sbom, packages, records }: Built,
  target: TargetName,
  form: ImageForm,
): string {
  const { path, bytes, sha256, packed, rootfs } = image;
  const megabytes = (value: number) => `${(value / 1e6).toFixed(1)} MB`;
  const parts = `root file system ${megabytes(rootfs.bytes)}${rootfs.reused ? ", unchanged" : ""}`;
  return [
    `Image:    ${path}`,
    ...(packed
      ? [
          `Size:     ${megabytes(packed.bytes)}, the image in it ${megabytes(bytes)} (${parts})`,
          `SHA-256:  ${packed.sha256}`,
          `          ${sha256} of the image in it`,
        ]
      : [`Size:     ${megabytes(bytes)} (${parts})`, `SHA-256:  ${sha256}`]),
    `Contents: ${sbom} (CycloneDX)`,
    ...(packages === undefined
      ? []
      : [`Packages: ${packages}; keep it: ./homing audit judges this image by it (--lock)`]),
    "",
    "It holds the relay's secret keys: do not give it away.",
    "",
    "What to do next:",
    ...(form === "raw" ? nextSteps[target](path) : packedSteps[form](path)),
    ...(isTestDomain(domain)
      ? [
          "  Its screen says how Delta Chat logs in; a name that begins with “_” is for tests",
          "  and in no DNS.",
        ]
      : ["  Then publish the relay's DNS records, with the machine's address:", `  ${records}`]),
    "",
  ].join("\n");
}

const packedSteps: Readonly<Record<Exclude<ImageForm, "raw">, (path: string) => string[]>> = {
  // Nothing but programs that write cards reads it as it is.
  zst: (path) => [
    "  Write it to a card with ./homing flash, or with Raspberry Pi Imager (“Use",
    "  custom”, no OS customisation); both take it as it is. For other programs:",
    `    zstd -d ${shellQuote(path)}`,
  ],
  qcow2: (path) => [
    "  Make a virtual machine with it as its disk: x86-64, BIOS, or UEFI without",
    "  Secure Boot, 512 MB of memory or more. libvirt:",
    `    virt-install --import --name relay --memory 1024 --osinfo debian13 --disk ${shellQuote(path)}`,
    "  Proxmox: qm importdisk, UTM: New, Emulate or Virtualize, Other, Import; see README.",
  ],
  vmdk: () => [
    "  Make a virtual machine with it as its disk: x86-64, BIOS, or UEFI without",
    "  Secure Boot, 512 MB of memory or more. VirtualBox: an existing disk; VMware: a",
    "  PVSCSI disk and a VMXNET3 or e1000e network card; see README.",
  ],
};

const nextSteps: Readonly<Record<TargetName, (path: string) => string[]>> = {
  vm: (path) => [
    `  Try it here:  ./homing vm ${shellQuote(path)}`,
    "  Or import it as the disk of a virtual machine: x86-64, BIOS, or UEFI without",
    "  Secure Boot, 512 MB of memory or more. Enlarge the disk to 2 GB or more first",
    "  (qemu-img resize, or your provider's disk size); all that is beyond the",
    "  image becomes room for mail.",
  ],
  pi: (path) => [
    "  Write it to an SD card of 2 GB or more (as root; or with Raspberry Pi Imager,",
    "  “Use custom”, no OS customisation):",
    `    sudo ./homing flash ${shellQuote(path)}`,
    "  Put the card into the Pi, plug in network and power. After about a minute",
    "  the screen shows “homing: ready”.",
  ],
};
