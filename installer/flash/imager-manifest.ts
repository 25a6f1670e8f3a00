/**
 * What Raspberry Pi Imager 2 wants to know of an image on this computer: a list of one system, in the format of its own
 * list (rpi-imager, doc/json-schema/os-list-schema.json). Opened in Imager, it offers the relay, checks the image by its
 * SHA-256 and asks for no customisation, which the image does not know. Pure; `./homing build` writes it beside the image.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { HOMING_VERSION } from "../../appliance/layout.ts";
import type { Image } from "../../image/build.ts";
import type { Companion } from "../../image/companion-file.ts";

export const imagerManifest: Companion = {
  suffix: ".rpi-imager-manifest",
  mark: '"os_list": ',
  what: "list for Raspberry Pi Imager",
};

/** Imager's words for the 64-bit models of its own list; a Zero 2 W counts as a Pi 3. */
const devices = ["pi5-64bit", "pi4-64bit", "pi3-64bit"];
/** Its first page asks for the device, and a list that names none leaves nothing to choose and no way on. */
const device = {
  name: "Raspberry Pi 3, 4, 5 or Zero 2 W",
  description: "One image for all of them",
  tags: devices,
  matching_type: "exclusive",
  default: true,
};
const logo = join(import.meta.dirname, "..", "..", "web", "logo.svg");

/** `generated` is the date of the image's packages, seconds since 1970. */
export function imagerManifestText(
  { path, bytes, sha256, packed }: Pick<Image, "path" | "bytes" | "sha256" | "packed">,
  domain: string,
  generated: number,
): string {
  const system = {
    name: `Homing: ${domain}`,
    description: `A chatmail relay (Homing ${HOMING_VERSION})`,
    icon: pathToFileURL(logo).href,
    url: pathToFileURL(path).href,
    extract_size: bytes,
    extract_sha256: sha256,
    image_download_size: packed?.bytes ?? bytes,
    image_download_sha256: packed?.sha256 ?? sha256,
    release_date: new Date(generated * 1000).toISOString().slice(0, "YYYY-MM-DD".length),
    devices,
    init_format: "none",
  };
  return `${JSON.stringify({ os_list: [system], imager: { devices: [device] } }, null, 2)}\n`;
}
