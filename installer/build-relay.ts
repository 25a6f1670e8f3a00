/**
 * Makes the image of a relay folder, with what belongs beside it: the whole of `./homing build` but its words. Called by
 * that command and by the wizard.
 */
import { realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, relative, resolve, sep } from "node:path";
import { rootfsSpec } from "../appliance/rootfs.ts";
import { buildImage, type Image, type ImageForm } from "../image/build.ts";
import { billOfMaterials, checkCompanion, packageList, writeCompanion } from "../image/companion-file.ts";
import { checkOutputFile } from "../image/output-file.ts";
import { defaultCacheDirectory } from "../image/packages/cache.ts";
import { lockText, type PackageLock, readLock } from "../image/packages/lock.ts";
import { chooseMirrors } from "../image/packages/mirror.ts";
import { NODE_VERSION } from "../image/packages/node-runtime.ts";
import { refreshLock } from "../image/packages/refresh.ts";
import type { ProgressReport } from "../image/progress.ts";
import type { TargetName } from "../image/targets/target.ts";
import { type CommandIo, UsageError } from "./command.ts";
import { renewDnsRecords } from "./dns-records.ts";
import { imagerManifest, imagerManifestText } from "./flash/imager-manifest.ts";
import { type RelayFolder, readRelayFolder, relayIdentity } from "./relay-folder.ts";
import { shellQuote } from "./shell-quote.ts";

/** What is asked for. */
export type BuildOrder = Readonly<{
  folder: string;
  target: TargetName;
  out: string;
  mirror?: string;
  cache?: string;
  /** What kind of file `out` is; a raw image unless given. */
  form?: ImageForm;
  refresh?: boolean;
  replace?: boolean;
  /** Which packages; the project's own list unless `refresh` is set. */
  lock?: PackageLock;
}>;

export type Built = Readonly<{
  /** The relay's. */
  domain: string;
  image: Image;
  /** Path of the bill of materials. */
  sbom: string;
  /** Path of the list of packages, when it is not the project's. */
  packages: string | undefined;
  /** Absolute path of the DNS records, or the command that shows them. */
  records: string;
  notes: readonly string[];
}>;

/** Throws the errors of all its parts; UsageError when the image would lie in the relay folder. */
export async function buildRelay(
  order: BuildOrder,
  io: Pick<CommandIo, "env" | "signal">,
  onProgress: ProgressReport,
): Promise<Built> {
  const { folder, target, out } = order;
  const relay = await readRelayFolder(folder);
  const mirrors = await chooseMirrors({ mirror: order.mirror, env: io.env });
  await refuseInside(folder, out);
  // Before the newest packages are looked for, which takes its time too.
  const place = await checkOutputFile(out, { keepUsed: !order.replace });
  await checkCompanion(place, billOfMaterials);
  if (order.refresh) await checkCompanion(place, packageList);
  if (target === "pi") await checkCompanion(place, imagerManifest);
  const follow = { mirrors, onProgress, signal: io.signal };
  const locked = order.lock ?? readLock();
  const lock = order.refresh
    ? await refreshLock({ ...follow, previous: locked, now: Date.now() / 1000 })
    : locked;
  const image = await buildImage({
    ...follow,
    target,
    spec: rootfsSpec(),
    relay: relay.files,
    out,
    form: order.form ?? "raw",
    keepUsed: !order.replace,
    companions: [billOfMaterials, packageList, imagerManifest],
    lock,
    cache: order.cache ?? defaultCacheDirectory(io.env),
  });
  const sbom = await writeCompanion(image.path, billOfMaterials, image.rootfs.sbom);
  const packages = order.refresh ? await writeCompanion(image.path, packageList, lockText(lock)) : undefined;
  if (target === "pi") {
    const text = imagerManifestText(image, relay.config.domain, lock.generated);
    await writeCompanion(image.path, imagerManifest, text);
  }
  const notes =
    process.version === `v${NODE_VERSION}`
      ? []
      : [
          `built with Node ${process.version}; only Node v${NODE_VERSION} is sure to give the same bytes again.`,
        ];
  const records = await recordsPlace(folder, relay);
  return { domain: relay.config.domain, image, sbom, packages, records, notes };
}

const endings: Readonly<Record<ImageForm, string>> = {
  raw: ".img",
  zst: ".img.zst",
  qcow2: ".qcow2",
  vmdk: ".vmdk",
};
/** How the command line asks for a form. */
const askedBy: Readonly<Record<Exclude<ImageForm, "raw">, string>> = {
  zst: "--compress",
  qcow2: "--format qcow2",
  vmdk: "--format vmdk",
};
/** What a name must end in; a raw image may have any other. */
const telling = { zst: ".zst", qcow2: ".qcow2", vmdk: ".vmdk" } as const;

/** The form shows in the name: who writes an image to a card goes by it, and programs too. Throws UsageError. */
export function outputName(
  folder: string,
  target: TargetName,
  { out, form = "raw" }: { out?: string | undefined; form?: ImageForm | undefined },
): string {
  if (out === undefined) return `${basename(resolve(folder))}-${target}${endings[form]}`;
  const told = (["zst", "qcow2", "vmdk"] as const).find((one) => out.endsWith(telling[one])) ?? "raw";
  if (told === form) return out;
  throw new UsageError(
    told === "raw" && form !== "raw"
      ? `with ${askedBy[form]} the image needs a name that ends in ${telling[form]}, like ${out}${telling[form]}`
      : told !== "raw"
        ? `a name that ends in ${telling[told]} is for another kind of file: give ${askedBy[told]} as well, or another name`
        : `${out} is no name for this kind of file`,
  );
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

/** Where the DNS records stand; the file is made anew when the settings or keys have changed. */
async function recordsPlace(folder: string, relay: RelayFolder): Promise<string> {
  try {
    return await renewDnsRecords(resolve(folder), relayIdentity(relay));
  } catch (error) {
    // A folder on a read-only disk is good enough for a build.
    if (!(error instanceof Error && "code" in error)) throw error;
    return `./homing keys show ${shellQuote(folder)}`;
  }
}
