/**
 * Which npm packages went into a bundled program: esbuild tells the files, package-lock.json what they belong to.
 * Called by image/rootfs/root-content.ts for the bill of materials. Pure but for reading package-lock.json.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

/** The parts of package-lock.json (version 3) that are read here. */
const lockSchema = z.object({
  lockfileVersion: z.literal(3),
  packages: z.record(
    z.string(),
    z.object({
      version: z.string().optional(),
      license: z.string().optional(),
      /** Subresource Integrity: an algorithm, "-" and the hash in base64. */
      integrity: z.string().optional(),
    }),
  ),
});

export type NpmPackage = Readonly<{
  name: string;
  version: string;
  /** As package-lock.json has it: an SPDX identifier or expression. */
  license: string;
  /** SHA-512 of the package's .tgz, hexadecimal. */
  sha512: string;
}>;

/** Of package-lock.json: installed packages by their folder ("node_modules/zod"). */
export type NpmLock = Readonly<{ version: string; packages: ReadonlyMap<string, NpmPackage> }>;

/** package-lock.json does not say of a package what the bill of materials needs. */
export class NpmPackageError extends Error {
  override name = "NpmPackageError";
}

/** Reads package-lock.json in the project's folder. Throws NpmPackageError. */
export async function readNpmLock(project: string): Promise<NpmLock> {
  const parsed = lockSchema.safeParse(JSON.parse(await readFile(join(project, "package-lock.json"), "utf8")));
  if (!parsed.success) throw new NpmPackageError(`package-lock.json: ${z.prettifyError(parsed.error)}`);
  const packages = new Map<string, NpmPackage>();
  for (const [folder, { version, license, integrity }] of Object.entries(parsed.data.packages)) {
    const sha512 = /^sha512-(.+)$/.exec(integrity ?? "")?.[1];
    if (folder === "" || version === undefined || license === undefined || sha512 === undefined) continue;
    packages.set(folder, {
      name: packageName(folder),
      version,
      license,
      sha512: Buffer.from(sha512, "base64").toString("hex"),
    });
  }
  const version = parsed.data.packages[""]?.version;
  if (version === undefined)
    throw new NpmPackageError("package-lock.json does not tell Homing's own version");
  return { version, packages };
}

/**
 * The packages that `inputs` lie in, sorted by name and version; inputs are paths below the project's folder with
 * "/" between names, as esbuild's metafile has them. Throws NpmPackageError for one that the lock does not pin.
 */
export function packagesOfInputs(inputs: readonly string[], lock: NpmLock): NpmPackage[] {
  const found = new Map<string, NpmPackage>();
  for (const input of inputs) {
    const folder = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
    if (folder === undefined) continue;
    const locked = lock.packages.get(folder);
    if (!locked) {
      throw new NpmPackageError(
        `${input} is in a program of the image, but package-lock.json does not pin ${folder} with version, ` +
          "licence and SHA-512: install it by npm and commit the lock file",
      );
    }
    found.set(folder, locked);
  }
  return [...found.values()].sort((a, b) => (npmOrder(a) < npmOrder(b) ? -1 : 1));
}

const npmOrder = ({ name, version }: NpmPackage): string => `${name}@${version}`;

/** "node_modules/a/node_modules/@b/c" → "@b/c". */
function packageName(folder: string): string {
  return folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
}
