/**
 * `./homing wifi FOLDER NETWORK`: sets the Wi-Fi network that a relay on a Raspberry Pi joins, or none.
 */
import { relative, resolve } from "node:path";
import { ask } from "../ask.ts";
import { type Command, type CommandIo, parseCommandArgs, print, UsageError } from "../command.ts";
import { readSettings } from "../relay-folder.ts";
import { checkNetwork, setWifi } from "../set-wifi.ts";

const passwordVariable = "HOMING_WIFI_PASSWORD";

export const command: Command = {
  name: "wifi",
  summary: "set the Wi-Fi network that a relay on a Raspberry Pi joins",
  usage: "wifi FOLDER NETWORK --country XX [--hidden] [--open] | wifi FOLDER --none",
  help: `
Writes the network's name into relay.toml and its password, as the key that WPA2 makes of it, into
keys/wifi-password.txt of the relay's folder, for the images that are built from then on. A network cable is used
before Wi-Fi when both are there. WPA2 is spoken, also in networks that have WPA2 and WPA3; WPA3 alone is not.

  FOLDER         the relay's folder, made by ./homing init
  NETWORK        the name of the network, as other devices show it
  --country XX   the country where the relay stands, whose rules for radio it keeps, like DE
  --hidden       the network does not send out its name
  --open         the network has no password. Otherwise the password is asked for, or taken from the variable
                 ${passwordVariable}
  --none         join no network, and forget the password
`,
  async run(args, io) {
    const { values, positionals } = parseCommandArgs(args, {
      country: { type: "string" },
      hidden: { type: "boolean", default: false },
      open: { type: "boolean", default: false },
      none: { type: "boolean", default: false },
    });
    const [folder, network, ...more] = positionals;
    if (folder === undefined) throw new UsageError("wifi needs the relay's folder");
    if (more.length > 0)
      throw new UsageError(
        `wifi takes one network, in quotes when it has spaces; what is “${more.join(" ")}”?`,
      );
    if ((network === undefined) !== values.none)
      throw new UsageError("wifi needs the name of a network, or --none instead of it");
    const { country, hidden } = values;
    if (values.none && (country !== undefined || hidden || values.open))
      throw new UsageError("--none joins no network: --country, --hidden and --open do not go with it");
    if (network !== undefined && country === undefined)
      throw new UsageError("wifi needs the country where the relay stands, like --country DE");
    const directory = resolve(folder);
    if (network === undefined || country === undefined) {
      await setWifi(directory, null);
    } else {
      checkNetwork({ network, country });
      // Nobody types a password for a folder that is not there.
      await readSettings(directory);
      await setWifi(directory, {
        network,
        country,
        hidden,
        password: values.open ? null : await password(io),
      });
    }
    const shown = relative(process.cwd(), directory) || ".";
    const now = network === undefined ? "joins no Wi-Fi network" : `joins the Wi-Fi network “${network}”`;
    await print(io.stdout, `A relay from ${shown} ${now}, from the next image on.\n`);
    return 0;
  },
};

async function password(io: CommandIo): Promise<string> {
  const given = io.env[passwordVariable];
  if (given !== undefined && given !== "") return given;
  return ask(io, { text: "Password of the network: ", instead: `it in ${passwordVariable}`, secret: true });
}
