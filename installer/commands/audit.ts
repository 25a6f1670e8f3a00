/**
 * `./homing audit`: says whether everything in an image comes from the locked Debian packages, the pinned npm
 * packages and these sources, and what does not.
 */

import { parseRelayConfig } from "../../appliance/relay-config.ts";
import { relayFilePaths } from "../../appliance/relay-files.ts";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { isWebFilePath, webFolderName } from "../../appliance/web-files.ts";
import { type Audit, auditImage } from "../../image/audit/audit.ts";
import { defaultCacheDirectory } from "../../image/packages/cache.ts";
import { readLock } from "../../image/packages/lock.ts";
import { chooseMirrors } from "../../image/packages/mirror.ts";
import { type Command, type CommandIo, parseCommandArgs, print, UsageError } from "../command.ts";
import { withProgress } from "../progress.ts";
import { readRelayFolder } from "../relay-folder.ts";

export const command: Command = {
  name: "audit",
  summary: "check that everything in an image has a known origin",
  usage: "audit IMAGE [--relay FOLDER] [--lock FILE] [--mirror URL] [--cache DIR] [--json]",
  help: `
Makes again, from the Debian packages of the lock file, the pinned npm packages and these sources, what the image in
the file IMAGE (.img or .img.zst) must hold, and compares: every file with its content, mode, owner and time, and every byte that belongs
to no file. Lists what differs and ends with 1; ends with 0 when nothing does. Packages that are not in the cache are
fetched. It takes half a minute and 1 GB of memory, needs no root and changes nothing.

An image can be judged by the version of Homing and the lock file that it was built with, until it is booted. A build
with --refresh leaves its own lock file beside the image, IMAGE.lock.json. It tells which packages are right, so trust it
no more than you trust whoever could have changed it.

  --relay FOLDER also compare the relay's settings and keys in the image with those in FOLDER; without it they only
                 have to be the files that a relay folder has
  --lock FILE    the list of Debian packages it was built with (default: this version's own)
  --mirror URL   the Debian mirror to fetch from (default: as ./homing build)
  --cache DIR    where downloads are kept (default: ~/.cache/homing)
  --json         print one JSON object instead of text; when it fails, that is an "error" event (name, message)
`,
  run,
};

async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommandArgs(args, {
    relay: { type: "string" },
    lock: { type: "string" },
    mirror: { type: "string" },
    cache: { type: "string" },
    json: { type: "boolean" },
  });
  const [image, surplus] = positionals;
  if (image === undefined) throw new UsageError("which image? Give the file that ./homing build made");
  if (surplus !== undefined) throw new UsageError(`unexpected argument “${surplus}”`);
  const relay = values.relay === undefined ? undefined : (await readRelayFolder(values.relay)).files;
  const mirrors = await chooseMirrors({ mirror: values.mirror, env: io.env });
  const audit = await withProgress(io.stderr, (onProgress) =>
    auditImage({
      image,
      spec: rootfsSpec(),
      lock: values.lock === undefined ? readLock() : readLock(values.lock),
      cache: values.cache ?? defaultCacheDirectory(io.env),
      mirrors,
      relayFiles: relayFilesOf,
      ...(relay && { relay }),
      onProgress,
      signal: io.signal,
    }),
  );
  await print(io.stdout, values.json ? jsonText(image, audit) : text(image, audit));
  return audit.findings.length === 0 ? 0 : 1;
}

/** The files that a relay folder with these settings has, and any page files. Throws RelayConfigError. */
function relayFilesOf(settings: Uint8Array, found: readonly string[]): string[] {
  const config = parseRelayConfig(new TextDecoder().decode(settings), "relay.toml in the image");
  const pages = found.filter(
    (path) => path.startsWith(`${webFolderName}/`) && isWebFilePath(path.slice(webFolderName.length + 1)),
  );
  return [...Object.values(relayFilePaths(config)).filter((path) => path !== null), ...pages];
}

function text(image: string, { target, origins, relayFiles, findings }: Audit): string {
  const sum = (pattern: RegExp) =>
    [...origins].reduce((total, [origin, count]) => total + (pattern.test(origin) ? count : 0), 0);
  const all = sum(/^/);
  const [debian, npm, relay] = [/^package /, /^npm /, /^the relay folder$/].map(sum) as [
    number,
    number,
    number,
  ];
  return [
    `Image:    ${image} (${target})`,
    `Files:    ${all}, folders and links counted`,
    `Origin:   ${debian} from Debian packages, ${npm} from the npm package of Node, ${all - debian - npm - relay} made`,
    "          by Homing's sources and the npm packages bundled with them",
    `Relay:    ${relayFiles.join(", ")}`,
    findings.length === 0
      ? "Unknown:  none"
      : `Unknown:  ${findings.length}; nothing that this version of Homing builds explains them:`,
    ...findings.map(({ place, path, problem }) => `  ${place}: ${path} ${problem}`),
    "",
  ].join("\n");
}

function jsonText(image: string, { target, origins, relayFiles, findings }: Audit): string {
  return `${JSON.stringify({ image, target, origins: Object.fromEntries(origins), relayFiles, findings }, null, 2)}\n`;
}
