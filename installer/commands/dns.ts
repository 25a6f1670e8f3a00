/**
 * `./homing dns ACTION`: checks whether a relay's DNS records are published. The work is done in installer/dns/; here are
 * the options and the words.
 */

import { type Command, type CommandIo, parseCommandArgs, print, UsageError } from "../command.ts";
import { checkDns } from "../dns/check.ts";
import { readDesired } from "../dns/desired.ts";
import type { ServerPlace } from "../dns/exchange.ts";
import { painterFor } from "../dns/painter.ts";
import { reportText } from "../dns/report-text.ts";
import { parsePlace, realWorld } from "../dns/world.ts";

const options = {
  json: { type: "boolean", default: false },
  address: { type: "string", multiple: true },
  server: { type: "string", multiple: true },
  https: { type: "string", multiple: true },
  "account-uri": { type: "string" },
} as const;

type Values = ReturnType<typeof parseCommandArgs<typeof options>>["values"];

const EXIT_NOT_YET = 1;

export const command: Command = {
  name: "dns",
  summary: "check a relay's DNS records",
  usage: "dns check FOLDER|DOMAIN [--json] [--address IP]... [--server IP[:PORT]]... [--https URL]...",
  help: `
  check    finds the name servers of the domain, asks every one of them, and says of each record whether it is
           there, with what to do where it is not. Ends with 0 when mail will work, with 1 when not
`,
  async run(args, io) {
    const { values, positionals } = parseCommandArgs(args, options);
    const [action = "", target, ...more] = positionals;
    if (action !== "check" || target === undefined || more.length > 0) {
      throw new UsageError("dns check takes a relay folder or a domain");
    }
    return check(target, values, io);
  },
};

async function check(target: string, values: Values, io: CommandIo): Promise<number> {
  const { desired } = await readDesired(target, desiredOptions(values));
  const servers = (values.server ?? []).map(placeOf);
  const report = await checkDns(desired, {
    ...{ world: worldOf(values), signal: io.signal },
    ...(servers.length > 0 && { servers }),
  });
  const text = values.json
    ? `${JSON.stringify(report, undefined, 2)}\n`
    : reportText(report, painterFor(io.stdout, io.env));
  await print(io.stdout, text);
  return report.works ? 0 : EXIT_NOT_YET;
}

function desiredOptions(values: Values) {
  const accountUri = values["account-uri"];
  return { addresses: values.address ?? [], ...(accountUri !== undefined && { accountUri }) };
}

function worldOf(values: Values) {
  const https = values.https ?? [];
  for (const url of https) {
    if (!URL.canParse(url) || !url.startsWith("https://"))
      throw new UsageError(`--https needs a URL, not “${url}”`);
  }
  return https.length > 0 ? realWorld(https) : realWorld();
}

function placeOf(text: string): ServerPlace {
  const place = parsePlace(text);
  if (place === undefined)
    throw new UsageError(`--server needs an IP address, with or without a port, not “${text}”`);
  return place;
}
