/**
 * The appliance's own programs for the device: the Node runtime and each TypeScript program bundled by esbuild
 * into one file in /usr/lib/homing. Called by build-rootfs.ts. Reads the project's sources, writes nothing.
 */
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import type { Bundle } from "../spec.ts";
import { setFile, type Tree } from "./tree.ts";

const PROGRAM_FOLDER = "usr/lib/homing";
/** The Node release on the device (image/packages/node-runtime.ts). */
const TARGET = "node24";
/** What Node's own modules are called in a list of inputs. */
const BUILTIN = "builtin";

/** A program does not bundle; the message holds what esbuild says, with file and line. */
export class BundleError extends Error {
  override name = "BundleError";
}

/**
 * Node's own modules, each asked for when the program comes to it. An `import` of one reads all that it exports, and that
 * loads more: `node:http` alone brings the whole of fetch, WebSocket and HTTP/2, ten times the time of what a server needs
 * of it, at each start. Also for dependencies in CommonJS, which would ask by `require`.
 */
const builtins: Plugin = {
  name: BUILTIN,
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^[a-z0-9_:/]+$/ }, ({ path }) =>
      isBuiltin(path) ? { path, namespace: BUILTIN, sideEffects: false } : undefined,
    );
    onLoad({ filter: /^/, namespace: BUILTIN }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)})`,
    }));
  },
};

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
      // Nor does what the project's tsconfig.json says make other bytes: modules are strict without being told.
      tsconfigRaw: {},
      bundle: true,
      metafile: true,
      write: false,
      format: "esm",
      platform: "node",
      target: TARGET,
      plugins: [builtins],
      // Less to read at every start, yet names that make sense in an error's stack: nothing renames them, and to keep
      // them (keepNames) as well where two files have the same one would be a call for each function at every start.
      minifySyntax: true,
      minifyWhitespace: true,
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
      bytesInOutput > 0 && !path.startsWith(`${BUILTIN}:`) ? [path] : [],
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
