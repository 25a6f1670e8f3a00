/**
 * `./homing init DOMAIN`: makes a relay folder and prints the DNS records to publish and what to do next.
 */
import { join, relative, resolve } from "node:path";
import { isTestDomain, parseDomain, specialUseOf } from "../../appliance/domain.ts";
import { type Command, parseCommandArgs, print, UsageError } from "../command.ts";
import { dnsRecordsFile, publicationText } from "../dns-records.ts";
import { createRelayFolder, type RelayFolder, relayIdentity } from "../relay-folder.ts";
import { shellQuote } from "../shell-quote.ts";
import { readPublicKeys } from "../ssh-key-file.ts";

/** The folder was made, but the output is closed or its disk is full. */
class ReportError extends Error {
  override name = "ReportError";
}

export const command: Command = {
  name: "init",
  summary: "make a relay folder: settings, keys and the DNS records to publish",
  usage: "init DOMAIN [--dir DIR] [--ssh-key FILE]",
  help: `
Makes the folder of a new relay: relay.toml with every setting and its default, and keys/ with the keys that
sign its mail and prove its name. Then prints the DNS records to publish, in the format of zone files, which it also
keeps in the folder as dns-records.txt.
The folder is the relay's identity. It is never overwritten; keep it safe and to yourself.

  DOMAIN           the relay's mail domain, like chat.example.org; a name that begins with “_”, like _try.test,
                   makes a relay for tests
  --dir DIR        the folder to make (default: the domain's name, here)
  --ssh-key FILE   file with the public SSH keys of administrators, like ~/.ssh/id_ed25519.pub; without it nobody
                   can log in to the device
`,
  async run(args, io) {
    const { values, positionals } = parseCommandArgs(args, {
      dir: { type: "string" },
      "ssh-key": { type: "string" },
    });
    const [given, ...more] = positionals;
    if (given === undefined) throw new UsageError("init needs the relay's domain");
    if (more.length > 0) throw new UsageError(`init takes one domain; what is “${more.join(" ")}”?`);
    const domain = parseDomain(given);
    const keyFile = values["ssh-key"];
    const authorizedKeys = keyFile === undefined ? [] : await readPublicKeys(keyFile);
    if (values.dir?.trim() === "")
      throw new UsageError("--dir needs the name of a folder; this one is empty");
    const directory = resolve(values.dir ?? domain);
    const relay = await createRelayFolder(directory, domain, { ssh: { authorizedKeys } }, io.signal);
    try {
      await print(io.stdout, report(relay, directory));
    } catch (error) {
      throw new ReportError(
        `the relay folder ${directory} is made, but what there is to say cannot be printed ` +
          `(${(error as NodeJS.ErrnoException).code}). Its DNS records are in ${join(directory, dnsRecordsFile)}.`,
        { cause: error },
      );
    }
    return 0;
  },
};

/** Printed for a domain that no authority certifies; nothing for others. */
function warnings(domain: string): string {
  const special = specialUseOf(domain);
  if (special === undefined) return "";
  const reason = special.ending.startsWith("example")
    ? `is there for examples (${special.source}): give your own domain instead.`
    : `is set aside for other uses (${special.source}).`;
  return `
Mind: ${domain} can never be a public name.
“.${special.ending}” ${reason}
No certificate authority certifies it, and Delta Chat and other relays refuse
what is self-signed.
To chat without a public name use a test name, which begins with “_”:
  ./homing init _try.test
`;
}

function report(relay: RelayFolder, directory: string): string {
  const { domain } = relay.config;
  const folder = relative(process.cwd(), directory) || ".";
  const shownFolder = folder.startsWith("..") ? directory : folder;
  const quotedFolder = shellQuote(shownFolder);
  const isTest = isTestDomain(domain);
  const dns = isTest
    ? `A name that begins with “_” is for tests; if you run a DNS server for them,
these are its records.`
    : "Publish these DNS records at your domain's provider.";
  return `Made the relay folder ${directory}
It is the relay's identity: keep it safe and to yourself, and keep a copy.

${dns} They are also in
${join(shownFolder, dnsRecordsFile)}

${publicationText(relayIdentity(relay))}${isTest ? "" : warnings(domain)}
What to do next:
  1. Look through ${join(shownFolder, "relay.toml")}
     Every setting has its default and a comment.
  2. ${
    isTest
      ? `Try it here:      ./homing vm ${quotedFolder}`
      : `Publish the records above. Or let it be done, by your provider's interface:
                       ./homing dns apply ${quotedFolder} --address YOUR-PUBLIC-ADDRESS
     To see that all is well:  ./homing dns check ${quotedFolder}`
  }
  3. Make the image:   ./homing build ${quotedFolder} --target pi
                       (or: --target vm)
`;
}
