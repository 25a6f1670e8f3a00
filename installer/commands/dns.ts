/**
 * `./homing dns ACTION`: checks a relay's DNS records, publishes them at a provider, takes that back, and prints them. The
 * work is done in installer/dns/; here are the options.
 */
import { stat } from "node:fs/promises";
import { anywhere, providersByHand } from "../../appliance/dns/by-hand.ts";
import { providerById, providers } from "../../appliance/dns/providers/providers.ts";
import { zoneText } from "../../appliance/dns/records.ts";
import { isInZone } from "../../appliance/dns/zone-names.ts";
import { type Command, type CommandIo, parseCommandArgs, print, UsageError } from "../command.ts";
import { applyAction, type ChangeOptions, planAction, undoAction } from "../dns/change-actions.ts";
import { checkDns } from "../dns/check.ts";
import { type DesiredOptions, desiredOfFolder, readDesired, type Target } from "../dns/desired.ts";
import type { ServerPlace } from "../dns/exchange.ts";
import { handText } from "../dns/hand-text.ts";
import { painterFor } from "../dns/painter.ts";
import { registerAction } from "../dns/register-action.ts";
import { reportText } from "../dns/report-text.ts";
import { systemResolver } from "../dns/resolver.ts";
import { parsePlace, realWorld } from "../dns/world.ts";
import { zoneByResolver } from "../dns/zone-servers.ts";
import { shellQuote } from "../shell-quote.ts";

const options = {
  json: { type: "boolean", default: false },
  yes: { type: "boolean", short: "y", default: false },
  "remove-parking": { type: "boolean", default: false },
  "replace-website": { type: "boolean", default: false },
  address: { type: "string", multiple: true },
  server: { type: "string", multiple: true },
  https: { type: "string", multiple: true },
  provider: { type: "string" },
  credentials: { type: "string" },
  "account-uri": { type: "string" },
  email: { type: "string" },
  opened: { type: "boolean", default: false },
} as const;

type Values = ReturnType<typeof parseCommandArgs<typeof options>>["values"];
type Action = (target: string, values: Values, io: CommandIo) => Promise<number>;

const EXIT_NOT_YET = 1;
/** What `dns zone --provider` takes for a provider that Homing does not know. */
const ANY_PROVIDER = "other";
/** Of actions that take no relay folder. */
const needs: Readonly<Record<string, string>> = {
  undo: "a back-up",
  register: "a name like rosegarden.dedyn.io",
};

const actions: Readonly<Record<string, Action>> = {
  check: async (target, values, io) => {
    const { desired } = await readDesired(target, desiredOptions(values));
    const servers = serversOf(values);
    const report = await checkDns(desired, {
      ...{ world: worldOf(values), signal: io.signal },
      ...(servers.length > 0 && { servers }),
    });
    const text = values.json
      ? `${JSON.stringify(report, undefined, 2)}\n`
      : reportText(report, painterFor(io.stdout, io.env));
    await print(io.stdout, text);
    return report.works ? 0 : EXIT_NOT_YET;
  },
  plan: async (target, values, io) => {
    const { desired } = await readFolder("plan", target, values);
    return planAction(desired, changeOptions(values), io);
  },
  apply: async (target, values, io) => {
    const { desired, folder } = await readFolder("apply", target, values);
    return applyAction(desired, folder, changeOptions(values), io);
  },
  undo: (backup, values, io) => undoAction(backup, changeOptions(values), io),
  zone: async (target, values, io) => {
    const { desired } = await readFolder("zone", target, values);
    await print(io.stdout, await zoneOutput(desired, values, io));
    return 0;
  },
  register: (name, { email, credentials, opened }, io) =>
    registerAction(name, { email, credentials, opened }, io),
};

export const command: Command = {
  name: "dns",
  summary: "check a relay's DNS records, publish them, or print them",
  usage:
    "dns check|plan|apply|zone FOLDER [OPTIONS], dns check DOMAIN [--json], dns undo BACKUP [OPTIONS], " +
    "dns register NAME.dedyn.io",
  help: `
  check    finds the name servers of the domain, asks every one of them, and says of each record whether it is
           there, and how to mend what is not. Ends with 0 when mail will work, with 1 when not or when nobody answers
  plan     shows what apply would change at the provider: + is added, ~ is changed
  apply    keeps a back-up of the zone in the relay folder, asks, changes the relay's record sets and no others,
           and waits until every name server shows them. Stops when the domain receives mail elsewhere
  undo     restores what an apply changed; BACKUP is the file that it wrote
  register gets a free name below dedyn.io: an account at deSEC, by a link in a letter, and a token for this name alone
           in a file for --credentials. Ends with 1 when the link has to be opened first
  zone     prints the records as a zone file, or with --provider field by field: namecheap and others know where;
           “other” for one that Homing does not know

  FOLDER                  the relay's folder, made by ./homing init
  --address IP            a public address of the relay (twice: IPv4 and IPv6). Without it, the ones that were
                          written into the folder's dns-records.txt
  --provider ID           where the zone is, as cloudflare or desec; found by the name servers otherwise
  --credentials FILE      lines “key = value” in a file that only you can read. Otherwise the variables
                          HOMING_DNS_ID_KEY are read (HOMING_DNS_CLOUDFLARE_TOKEN), or you are asked
  --yes                   do not ask
  --remove-parking        apply: remove the records by which a registrar's parking page stands in the way
  --replace-website       apply: a web page at the relay's name may go, or an address there that is not the relay's,
                          which --yes alone does not say
  --email ADDRESS         register: where the letter goes; asked for otherwise, as the password is, or taken from
                          HOMING_DNS_DESEC_EMAIL and HOMING_DNS_DESEC_PASSWORD
  --opened                register: the link in the letter is open, only the token is missing
  --account-uri URI       lets only this account get certificates; homing-ctl certificate shows it on the relay
  --server IP[:PORT]      check: ask this name server instead of those of the domain; apply: wait for it
  --https URL             the resolver (RFC 8484) that is asked when name servers cannot be asked directly
  --json                  print the result for programs
`,
  async run(args, io) {
    const { values, positionals } = parseCommandArgs(args, options);
    const [name = "", target, ...more] = positionals;
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) {
      throw new UsageError(
        `dns needs an action: ${Object.keys(actions).join(", ")}${name && `; not “${name}”`}`,
      );
    }
    if (target === undefined) throw new UsageError(`dns ${name} needs ${needs[name] ?? "a relay folder"}`);
    if (more.length > 0) throw new UsageError(`dns ${name} takes one thing; what is “${more.join(" ")}”?`);
    return action(target, values, io);
  },
};

/** Records without the relay's keys are of no use to anybody but the check. */
async function readFolder(
  name: string,
  folder: string,
  values: Values,
): Promise<Target & { folder: string }> {
  const isThere = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isThere) {
    throw new UsageError(
      `dns ${name} needs the relay's folder, for the DKIM key is in it, and there is no folder ${folder}. ` +
        `Make it with ./homing init DOMAIN --dir ${shellQuote(folder)}`,
    );
  }
  return { desired: await desiredOfFolder(folder, desiredOptions(values)), folder };
}

async function zoneOutput(
  { domain, records }: Target["desired"],
  values: Values,
  io: CommandIo,
): Promise<string> {
  const { provider } = values;
  const path = provider === undefined ? undefined : handPath(provider);
  const hasAddress = records.some((record) => record.name === domain && "address" in record);
  const note = hasAddress ? "" : "Name the relay's public address by --address.\n";
  if (path === undefined) return `${note && `; ${note}`}${zoneText(records)}`;
  const zone = await zoneByResolver(domain, systemResolver(worldOf(values), io.signal));
  // Unknown while there is no network, or no delegation yet: then most names were bought with two parts.
  const bought = domain.split(".").slice(-2).join(".");
  const name = zone?.zone.includes(".") && isInZone(domain, zone.zone) ? zone.zone : bought;
  return note + handText(records, name, path);
}

/** Where the owner enters records at the provider, by the beginning of its name. Throws UsageError. */
function handPath(wish: string): readonly string[] {
  const beginning = wish.toLowerCase();
  if (beginning === ANY_PROVIDER || providerById(beginning) !== undefined) return anywhere;
  const known = providersByHand.find(({ name }) => name.toLowerCase().startsWith(beginning));
  if (known !== undefined && beginning !== "") return known.path;
  const names = providersByHand.map(({ name }) => name).join(", ");
  const ids = providers.map(({ id }) => id).join(", ");
  throw new UsageError(
    `--provider “${wish}” is none of ${names}, nor of ${ids}; “other” tells what holds at most providers`,
  );
}

function desiredOptions(values: Values): DesiredOptions {
  const accountUri = values["account-uri"];
  return { addresses: values.address ?? [], ...(accountUri !== undefined && { accountUri }) };
}

function changeOptions(values: Values): ChangeOptions {
  const { provider, credentials, yes, json } = values;
  return {
    ...{ world: worldOf(values), servers: serversOf(values), provider, credentials, yes, json },
    ...{ removeParking: values["remove-parking"], replaceWebsite: values["replace-website"] },
  };
}

function worldOf({ https = [] }: Values) {
  for (const url of https) {
    if (!URL.canParse(url) || !url.startsWith("https://")) {
      throw new UsageError(`--https needs a URL that begins with https://, not “${url}”`);
    }
  }
  return https.length > 0 ? realWorld(https) : realWorld();
}

function serversOf({ server = [] }: Values): ServerPlace[] {
  return server.map((text) => {
    const place = parsePlace(text);
    if (place !== undefined) return place;
    throw new UsageError(`--server needs an IP address, with or without a port, not “${text}”`);
  });
}
