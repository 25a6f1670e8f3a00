/**
 * `./homing build`: makes a disk image from a relay folder. What is fetched and built is kept in a cache; the
 * same relay folder, lock file and version give the same bytes.
 */
import { realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { buildImage, type Image, targets } from "../../image/build.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { NODE_VERSION } from "../../image/packages/node-runtime.ts";
import { refreshLock } from "../../image/packages/refresh.ts";
import { checkSbomFile, writeSbomFile } from "../../image/sbom/sbom-file.ts";
import type { TargetName } from "../../image/targets/target.ts";
import { type Command, type CommandIo, parseCommandArgs, UsageError } from "../command.ts";
import { renewDnsRecords } from "../dns-records.ts";
import { withProgress } from "../progress.ts";
import { publicDkimKeys, type RelayFolder, readRelayFolder } from "../relay-folder.ts";

export const command: Command = {
  name: "build",
  summary: "make a disk image from a relay folder, for a virtual machine or a Raspberry Pi",
  usage: "build FOLDER --target vm|pi [--out FILE] [--mirror URL] [--cache DIR] [--refresh] [--replace]",
  help: `
Makes the disk image of the relay in FOLDER (made by ./homing init). The first build fetches Debian packages (93 MB
for vm, 162 MB for pi) and, from npm, Node for the device (about 40 MB). Then a build takes half a minute to two minutes,
and seconds when nothing but the relay's settings changed. Nothing on this computer is changed but the image and the cache.

  --target vm    a virtual machine: x86-64, UEFI or BIOS
  --target pi    a Raspberry Pi 3, 4, 5 or Zero 2; also other arm64 machines with UEFI
  --out FILE     the image (default: FOLDER's name with -vm.img or -pi.img, in the current folder)
  --mirror URL   the Debian mirror to fetch from, like https://ftp.debian.org/debian (default: DEBIAN_MIRROR and
                 DEBIAN_SECURITY_MIRROR from the environment, else what this computer's apt uses, else
                 https://ftp.debian.org/debian)
  --cache DIR    where downloads and root file systems are kept (default: ~/.cache/homing)
  --refresh      take the newest Debian packages instead of those in the lock file, for this image only
  --replace      replace the image also when it has been booted: its accounts and mail are lost

A proxy is used when HTTP_PROXY, HTTPS_PROXY and NO_PROXY name one. After a break the same command goes on with the
downloads where they were.

The image holds the relay's secret keys: keep it as you keep the relay folder. Beside it lies FILE.cdx.json, which
lists every Debian and npm package in it (CycloneDX 1.6); it holds nothing secret.
`,
  run,
};

async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommandArgs(args, {
    target: { type: "string" },
    out: { type: "string" },
    mirror: { type: "string" },
    cache: { type: "string" },
    refresh: { type: "boolean" },
    replace: { type: "boolean" },
  });
  const [folder, surplus] = positionals;
  if (folder === undefined) throw new UsageError("which relay? Give the folder that ./homing init made");
  if (surplus !== undefined) throw new UsageError(`unexpected argument “${surplus}”`);
  const target = parseTarget(values.target);
  const relay = await readRelayFolder(folder);
  const mirrors = await chooseMirrors({ mirror: values.mirror, env: io.env });
  const out = values.out ?? join(`${basename(resolve(folder))}-${target}.img`);
  await refuseInside(folder, out);
  await checkSbomFile(out);

  const image = await withProgress(io.stderr, async (onProgress) => {
    const follow = { mirrors, onProgress, signal: io.signal };
    const locked = readLock();
    const lock = values.refresh
      ? await refreshLock({ ...follow, previous: locked, now: Date.now() / 1000 })
      : locked;
    return buildImage({
      ...follow,
      target,
      spec: rootfsSpec(),
      relay: relay.files,
      out,
      keepUsed: !values.replace,
      lock,
      cache: values.cache ?? defaultCacheDirectory(io.env),
    });
  });
  const sbom = await writeSbomFile(image.path, image.rootfs.sbom);
  io.stdout.write(summary(image, sbom, target, await recordsPlace(folder, relay)));
  if (process.version !== `v${NODE_VERSION}`) {
    io.stderr.write(
      `Note: built with Node ${process.version}; only Node v${NODE_VERSION} is sure to give the same bytes again.\n`,
    );
  }
  return 0;
}

/** The relay folder is for the relay's own files: an image in it could take the place of one of them. */
async function refuseInside(folder: string, out: string): Promise<void> {
  const relay = await realpath(folder);
  // The image itself may be a link, its folder may be one, and may not be there yet.
  for (const path of [out, dirname(resolve(out))]) {
    const place = await realpath(path).catch(() => resolve(path));
    const inside = relative(relay, place);
    if (inside !== ".." && !inside.startsWith(`..${sep}`) && !isAbsolute(inside)) {
      throw new UsageError(
        `the image cannot lie in the relay folder ${folder}; give another place with --out`,
      );
    }
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

/** Where the DNS records stand; the file is made anew when the settings or keys have changed. */
async function recordsPlace(folder: string, relay: RelayFolder): Promise<string> {
  try {
    return await renewDnsRecords(folder, { domain: relay.config.domain, dkim: publicDkimKeys(relay) });
  } catch (error) {
    // A folder on a read-only disk is good enough for a build.
    if (!(error instanceof Error && "code" in error)) throw error;
    return `./homing keys show ${folder}`;
  }
}

function summary(
  { path, bytes, sha256, rootfs }: Image,
  sbom: string,
  target: TargetName,
  records: string,
): string {
  const megabytes = (value: number) => `${(value / 1e6).toFixed(1)} MB`;
  return [
    `Image:    ${path}`,
    `Size:     ${megabytes(bytes)} (root file system ${megabytes(rootfs.bytes)}${rootfs.reused ? ", unchanged" : ""})`,
    `SHA-256:  ${sha256}`,
    `Contents: ${sbom} (CycloneDX)`,
    "",
    "It holds the relay's secret keys: do not give it away.",
    "",
    "What to do next:",
    ...nextSteps[target](path),
    "  Then publish the relay's DNS records, with the machine's address:",
    `  ${records}`,
    "",
  ].join("\n");
}

const nextSteps: Readonly<Record<TargetName, (path: string) => string[]>> = {
  vm: (path) => [
    `  Try it here:  ./homing vm ${path}`,
    "  Or import it as the disk of a virtual machine: x86-64, BIOS, or UEFI without",
    "  Secure Boot, 512 MB of memory or more. Enlarge the disk to 4 GB or more first",
    "  (qemu-img resize, or your provider's disk size); all that is beyond the",
    "  image becomes room for mail.",
  ],
  pi: (path) => [
    "  Write it to an SD card of 4 GB or more with Raspberry Pi Imager (“Use",
    "  custom”, no OS customisation) or with dd, for example:",
    `    sudo dd if=${path} of=/dev/sdX bs=4M conv=fsync status=progress`,
    "  Put the card into the Pi, plug in network and power. After about a minute",
    "  the screen shows “homing: ready”.",
  ],
};
