/**
 * The appliance's own programs for the device: the Node runtime and each TypeScript program bundled by esbuild
 * into one file in /usr/lib/homing. Called by build-rootfs.ts. Reads the project's sources, writes nothing.
 */
import { join } from "node:path";
import { build } from "esbuild";
import type { Bundle } from "../spec.ts";
import { setFile, type Tree } from "./tree.ts";

const PROGRAM_FOLDER = "usr/lib/homing";
/** The Node release on the device (image/packages/node-runtime.ts). */
const TARGET = "node24";

/** A program does not bundle; the message holds what esbuild says, with file and line. */
export class BundleError extends Error {
  override name = "BundleError";
}

/** Some dependencies are CommonJS and ask for Node's own modules by `require`, which ES modules do not have. */
const REQUIRE =
  'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);';

export type Program = Readonly<{
  content: Uint8Array;
  /** The files whose code is in it, relative to the project's folder with "/" between names. */
  inputs: readonly string[];
}>;

/**
 * Bundles every program. `project` is the folder that entries are relative to.
 * Returns the programs by name. Throws BundleError.
 */
export async function bundlePrograms(
  bundles: readonly Bundle[],
  project: string,
): Promise<Map<string, Program>> {
  const bundle = async ({ name, entry }: Bundle): Promise<[string, Program]> => {
    const result = await build({
      entryPoints: [join(project, entry)],
      // Names in the output are relative to it: the same bytes wherever the project lies.
      absWorkingDir: project,
      bundle: true,
      metafile: true,
      write: false,
      format: "esm",
      platform: "node",
      target: TARGET,
      banner: { js: REQUIRE },
      // Less to read at every start, yet names that make sense in an error's stack.
      minifySyntax: true,
      minifyWhitespace: true,
      keepNames: true,
      legalComments: "eof",
      logLevel: "silent",
    }).catch((error: Error) => {
      throw new BundleError(`the program ${name} (${entry}) does not bundle: ${error.message}`, {
        cause: error,
      });
    });
    const output = result.outputFiles[0];
    const [made] = Object.values(result.metafile.outputs);
    if (!output || !made) throw new BundleError(`esbuild made nothing of ${entry}`);
    // A file that is read but of which no code is left is not in the program.
    const inputs = Object.entries(made.inputs).flatMap(([path, { bytesInOutput }]) =>
      bytesInOutput > 0 ? [path] : [],
    );
    return [name, { content: output.contents, inputs }];
  };
  return new Map(await Promise.all(bundles.map(bundle)));
}

/** Puts the runtime and the programs into the tree. */
export function addRuntime(
  tree: Tree,
  node: { node: Uint8Array; license: Uint8Array },
  programs: ReadonlyMap<string, Program>,
): void {
  setFile(tree, `${PROGRAM_FOLDER}/node`, node.node, { mode: 0o755 });
  setFile(tree, `${PROGRAM_FOLDER}/node.LICENSE`, node.license);
  for (const [name, { content }] of programs) setFile(tree, `${PROGRAM_FOLDER}/${name}.mjs`, content);
}
