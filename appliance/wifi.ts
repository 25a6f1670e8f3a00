/**
 * What may stand for a wireless network: its name, its password, the country whose rules its radio keeps, each judged
 * with a sentence that says what is wrong; and the key that WPA2 makes of a password. Used by wifi-settings.ts and
 * owner-files.ts, by the installer where it is asked for, and by life/wifi.ts. Pure.
 */
import { pbkdf2Sync } from "node:crypto";

/** IEEE 802.11-2020 §9.4.2.2: the SSID element holds up to 32 bytes of any kind; none is a hidden name. */
const MAX_NETWORK_BYTES = 32;
/** IEEE 802.11-2020 §J.4.1: a pass-phrase has 8 to 63 characters from 32 to 126 of ASCII. */
const PASSPHRASE = /^[ -~]{8,63}$/;
/** The key itself, 256 bits, as access points show it. */
const KEY = /^[0-9a-fA-F]{64}$/;
/** IEEE 802.11-2020 §J.4.1. */
const PBKDF2_ROUNDS = 4096;
const KEY_BYTES = 32;

/** ISO 3166-1 alpha-2, the codes that belong to a country or territory. */
const COUNTRIES =
  "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
  "CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
  "GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
  "KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT " +
  "MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
  "SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
  "UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";
const countries = new Set(COUNTRIES.split(" "));

/** Why the text cannot be a network's name; undefined when it can. */
export function wifiNetworkProblem(network: string): string | undefined {
  const bytes = Buffer.byteLength(network);
  if (bytes === 0) return "a network's name has at least one character";
  if (bytes > MAX_NETWORK_BYTES) {
    return `a network's name has at most ${MAX_NETWORK_BYTES} bytes, this one has ${bytes}`;
  }
  // Legal in theory; in practice something else was pasted along.
  return /\p{Cc}/u.test(network) ? "a network's name holds no control characters" : undefined;
}

/** Why the text cannot be a network's password; undefined when it can. Never holds the text itself. */
export function wifiPasswordProblem(password: string): string | undefined {
  if (PASSPHRASE.test(password) || KEY.test(password)) return undefined;
  const { length } = password;
  if (length === 0) return "there is no password";
  if (/[^ -~]/.test(password)) {
    return "a Wi-Fi password has letters without accents, digits, spaces and the usual signs only (ASCII)";
  }
  return `a Wi-Fi password has 8 to 63 characters, this one has ${length}; or 64 digits 0-9 and a-f, as a key`;
}

/** Why the text cannot be a country; undefined when it can. */
export function wifiCountryProblem(country: string): string | undefined {
  if (countries.has(country)) return undefined;
  return countries.has(country.toUpperCase())
    ? `a country is written in capital letters: ${country.toUpperCase()}`
    : "a country is two letters of ISO 3166, like DE, FR or US (Great Britain is GB)";
}

/** The password in the text of keys/wifi-password.txt: one line, whatever editor wrote it. */
export function wifiPasswordOf(text: string): string {
  return text.replace(/^\uFEFF/, "").replace(/\r?\n$/, "");
}

/**
 * The key of a WPA2 network as 64 hexadecimal digits (IEEE 802.11-2020 §J.4.1), of a password without
 * wifiPasswordProblem. Takes a Raspberry Pi 3 some 20 ms.
 */
export function wifiKey(network: string, password: string): string {
  if (KEY.test(password)) return password.toLowerCase();
  return pbkdf2Sync(password, network, PBKDF2_ROUNDS, KEY_BYTES, "sha1").toString("hex");
}
