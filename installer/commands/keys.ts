/**
 * `./homing keys ACTION FOLDER`: shows a relay's DKIM keys with the DNS records to publish, makes the next DKIM key,
 * and withdraws the old one.
 */
import { relative, resolve } from "node:path";
import { realResolvers } from "../../appliance/dns/published.ts";
import { type DnsRecord, relayRecords, zoneText } from "../../appliance/dns/records.ts";
import { dkimKeyPath } from "../../appliance/relay-files.ts";
import { type Command, parseCommandArgs, UsageError } from "../command.ts";
import { beginRotation, endRotation } from "../dkim-rotation.ts";
import { publicationText, renewDnsRecords } from "../dns-records.ts";
import { publicDkimKeys, type RelayFolder, readRelayFolder, relayIdentity } from "../relay-folder.ts";
import { shellQuote } from "../shell-quote.ts";

/** What an action says: for people, and for programs (--json). */
type Answer = Readonly<{ text: string; data: object }>;

type Action = (directory: string, options: Readonly<{ unchecked: boolean }>) => Promise<Answer>;

const actions: Readonly<Record<string, Action>> = {
  show: async (directory) => {
    const relay = await readRelayFolder(directory);
    const records = relayRecords(relayIdentity(relay));
    return { text: showText(relay), data: { ...keyData(relay), records } };
  },
  "rotate-dkim": async (directory) => {
    const { relay, outcome } = await beginRotation(directory);
    await renewDnsRecords(directory, relayIdentity(relay));
    return { text: rotationText(relay, outcome, shown(directory)), data: { outcome, ...keyData(relay) } };
  },
  "retire-dkim": async (directory, { unchecked }) => {
    const { relay, retired } = await endRotation(directory, unchecked ? null : realResolvers());
    await renewDnsRecords(directory, relayIdentity(relay));
    return { text: retirementText(relay, retired, shown(directory)), data: { retired, ...keyData(relay) } };
  },
};

export const command: Command = {
  name: "keys",
  summary: "show a relay's DKIM keys and DNS records, or change its DKIM key",
  usage: "keys show|rotate-dkim|retire-dkim FOLDER [--json] [--unchecked]",
  help: `
Changing the key that signs mail takes two steps, with some days in between, and no mail is lost on the way.

  show          prints which DKIM keys the relay has, and all DNS records to publish
  rotate-dkim   makes the next key beside the present one and prints the record to publish. The relay goes on
                signing with the present key until every name server of the domain shows the new one. Called
                again, it changes nothing and prints the same
  retire-dkim   makes the new key the only one and removes the old private key from the folder; refuses while
                the new key is not at every name server

  FOLDER        the relay's folder, made by ./homing init
  --json        print the result for programs
  --unchecked   with retire-dkim: do not ask the DNS
`,
  async run(args, io) {
    const { values, positionals } = parseCommandArgs(args, {
      json: { type: "boolean", default: false },
      unchecked: { type: "boolean", default: false },
    });
    const [name = "", folder, ...more] = positionals;
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) {
      throw new UsageError(
        `keys needs an action: ${Object.keys(actions).join(", ")}${name && `; not “${name}”`}`,
      );
    }
    if (folder === undefined) throw new UsageError(`keys ${name} needs the relay's folder`);
    if (more.length > 0) throw new UsageError(`keys ${name} takes one folder; what is “${more.join(" ")}”?`);
    if (values.unchecked && name !== "retire-dkim")
      throw new UsageError("--unchecked goes with retire-dkim only");
    const answer = await action(resolve(folder), values);
    io.stdout.write(values.json ? `${JSON.stringify(answer.data, undefined, 2)}\n` : answer.text);
    return 0;
  },
};

function shown(directory: string): string {
  const folder = relative(process.cwd(), directory) || ".";
  return folder.startsWith("..") ? directory : folder;
}

/** The records of the DKIM keys alone: that of the key that signs, then that of the next one. */
function keyRecords(relay: RelayFolder): DnsRecord[] {
  const { domain } = relay.config;
  const dkim = publicDkimKeys(relay);
  const names = dkim.map(({ selector }) => `${selector}._domainkey.${domain}`);
  return relayRecords({ domain, dkim }).filter(({ name }) => names.includes(name));
}

function keyData(relay: RelayFolder) {
  const { domain, dkim } = relay.config;
  return {
    domain,
    dkim: keyRecords(relay).map((record, index) => {
      const selector = index === 0 ? dkim.selector : dkim.nextSelector;
      return { selector, state: index === 0 ? "present" : "next", file: dkimKeyPath(selector), record };
    }),
  };
}

function showText(relay: RelayFolder): string {
  const { domain, dkim } = relay.config;
  const next =
    dkim.nextSelector === ""
      ? "There is no other; ./homing keys rotate-dkim makes one."
      : `The next one is ${dkim.nextSelector}: it takes over once every name server of ${domain} shows it.`;
  return `The DKIM key of ${domain} is ${dkim.selector}. ${next}

${publicationText(relayIdentity(relay))}`;
}

/** How a changed folder comes to a relay that runs. */
function bringToRelay(folder: string): string {
  return (
    `Bring the folder to the relay: copy ${folder}/relay.toml and ${folder}/keys into a folder “relay” on the\n` +
    `     partition HOMING (FAT) of its card or disk, and start it. (Writing a new image would erase its mail.)`
  );
}

function rotationText(relay: RelayFolder, outcome: string, folder: string): string {
  const { domain, dkim } = relay.config;
  const file = `${folder}/${dkimKeyPath(dkim.nextSelector)}`;
  const done = {
    made: `Made the next DKIM key ${file}.`,
    found: `Found the next DKIM key ${file}, which an earlier run had made.`,
    "under way": `There is a next DKIM key already, ${file}; nothing was changed.`,
  }[outcome];
  return `${done} ${dkim.selector} goes on signing, and both records are needed:

${zoneText(keyRecords(relay))}
What to do next:
  1. Publish the record of ${dkim.nextSelector} at your domain's provider; leave that of ${dkim.selector}.
  2. ${bringToRelay(folder)}
  3. Nothing. Every quarter of an hour the relay asks all name servers of ${domain} and signs with
     ${dkim.nextSelector} as soon as they all show it.
  4. Some days later: ./homing keys retire-dkim ${shellQuote(folder)}
`;
}

function retirementText(relay: RelayFolder, retired: string, folder: string): string {
  const { dkim, messages } = relay.config;
  // And one day for the clocks and caches of others.
  const days = messages.queueLifetimeDays + 1;
  return `${dkim.selector} is the relay's only DKIM key now. The private key of ${retired} was removed from ${folder}/keys.

What to do next:
  1. ${bringToRelay(folder)}
     From then on it signs with ${dkim.selector}, whatever the DNS shows, and its own copy of the old key is wiped;
     until then it may still sign with ${retired}.
  2. Leave the record of ${retired} in the DNS for ${days} more days: mail that it signed may still be on its way.
     Then delete it. These stay:

${zoneText(keyRecords(relay))}`;
}
