/**
 * Wi-Fi on a Raspberry Pi: what wpa_supplicant(8) is told, the units that switch the radio on and join the network, and
 * the script part by which the status page knows how that went. Used by units.ts, system.ts, status.ts and life/wifi.ts.
 * The radio has no driver, so it is silent, unless relay.toml names a network.
 */
import { dataPaths, runPaths } from "../layout.ts";
import type { RelayConfig } from "../relay-config.ts";
import { neverGiveUp, restartLines, sandboxLines } from "./sandbox.ts";
import { startsFirst } from "./start-order.ts";

/** Only the image for Raspberry Pis has it. */
const supplicant = "/usr/sbin/wpa_supplicant";
/** The driver of the radio on every Raspberry Pi. */
const driver = "brcmfmac";
/** A folder for each card, in which wpa_cli(8) finds a socket named by the card. */
const controlFolder = "/run/homing-wifi";

/**
 * wpa_supplicant.conf(5) for the network of the settings; `key` as wifiKey makes it, null where it has none. WPA2 alone,
 * which a network with WPA2 and WPA3 speaks too: with SAE or protected management frames switched on, several Broadcom
 * radios and access points never agree, and wpa_supplicant does not fall back. Broken ciphers (WEP, TKIP) are not
 * spoken; the group's may still be TKIP, as networks with one old device have it.
 */
export function supplicantConfig(
  { network, country, hidden }: RelayConfig["wifi"],
  key: string | null,
): string {
  const lines = [
    // As hexadecimal digits it needs no quotes, whatever is in it.
    `ssid=${Buffer.from(network).toString("hex")}`,
    ...(hidden ? ["scan_ssid=1"] : []),
    ...(key === null
      ? ["key_mgmt=NONE"]
      : [
          ...["key_mgmt=WPA-PSK", "proto=RSN", "pairwise=CCMP", "group=CCMP TKIP", "ieee80211w=0"],
          `psk=${key}`,
        ]),
  ];
  return `country=${country}
update_config=0
p2p_disabled=1
network={
${lines.map((line) => `  ${line}\n`).join("")}}
`;
}

/** Unit file text by unit name. `hide`: directories with secrets of others. */
export function wifiUnits(hide: readonly string[]): Record<string, string> {
  return { "homing-radio.service": radioService, "homing-wifi@.service": wifiService(hide) };
}

const radioService = `[Unit]
Description=Switch on the radio for Wi-Fi
Requires=homing-configure.service
After=homing-configure.service systemd-networkd.service
ConditionPathExists=${runPaths.wifi}
ConditionFileIsExecutable=${supplicant}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/modprobe ${driver}
SyslogIdentifier=%N
${startsFirst}
${sandboxLines({ network: "none", capabilities: ["CAP_SYS_MODULE"], allOfProc: true, privateUsers: false })}
ProtectKernelModules=no
SystemCallFilter=@module

[Install]
WantedBy=homing.target
`;

/*
 * Started by udev when a card is there (wifiRules). It is ready when its control socket is there, hence "forking"; in the
 * background wpa_supplicant speaks to the log alone. A server that sleeps between beacons answers late or, behind some
 * access points, not at all: the last command makes the radio stay awake.
 */
const wifiService = (hide: readonly string[]) => `[Unit]
Description=Join the Wi-Fi network by %I
Requires=homing-configure.service
After=homing-configure.service
BindsTo=sys-subsystem-net-devices-%i.device
After=sys-subsystem-net-devices-%i.device
ConditionPathExists=${runPaths.wifi}
ConditionFileIsExecutable=${supplicant}
${neverGiveUp}

[Service]
Type=forking
PIDFile=${controlFolder}/%i.pid
ExecStart=${supplicant} -B -s -P ${controlFolder}/%i.pid -D nl80211 -i %I -O ${controlFolder}/%i -c ${runPaths.wifi}
ExecStartPost=-/usr/sbin/wpa_cli -p ${controlFolder}/%i -i %I set ps 0
SyslogIdentifier=homing-wifi
RuntimeDirectory=homing-wifi
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
${restartLines}
${startsFirst}
${sandboxLines({
  network: "host",
  rank: "login",
  memory: "64M",
  tasks: 16,
  capabilities: ["CAP_NET_ADMIN", "CAP_NET_RAW"],
  privateUsers: false,
  hide: [...hide, dataPaths.accounts, dataPaths.mail, dataPaths.metadata],
})}
# Frames of the key exchange, and the calls that switch a card on.
RestrictAddressFamilies=AF_PACKET AF_INET
MemoryDenyWriteExecute=yes
`;

/** udev(7): a card that is there by itself starts nothing unless the settings name a network (the unit's condition). */
export const wifiRules =
  'ACTION=="add", SUBSYSTEM=="net", ENV{DEVTYPE}=="wlan", TAG+="systemd", ENV{SYSTEMD_WANTS}+="homing-wifi@$name.service"\n';

/** modprobe.d(5): udev does not load it; homing-radio.service does, by its name. */
export const radioIsOff = `blacklist ${driver}\n`;

/**
 * Lines of the script `look`: how the network was joined, as "wifi no-card|out-of-reach|refused". wpa_supplicant tries a
 * refused password again after ever longer pauses; until it is in, the word stays, or the page would change all the time.
 */
export const lookAtWifi = `wifi() {
  [ -x "$root${supplicant}" ] || return 0
  is=no-card
  for socket in "$root${controlFolder}"/*/*; do
    [ -S "$socket" ] || continue
    ask() { timeout 5 wpa_cli -p "\${socket%/*}" -i "\${socket##*/}" "$1" 2>/dev/null || true; }
    case $(ask status) in
      *wpa_state=COMPLETED*) return 0 ;;
      *wpa_state=SCANNING*|*wpa_state=DISCONNECTED*|*wpa_state=INACTIVE*) is=out-of-reach ;;
      *) is=joining ;;
    esac
    case $(ask list_networks) in *TEMP-DISABLED*) is=refused ;; esac
  done
  before=$(grep '^wifi ' "$root${runPaths.state}" 2>/dev/null || true)
  if [ "$before" = "wifi refused" ] && [ "$is" != no-card ]; then is=refused; fi
  [ "$is" = joining ] || echo "wifi $is"
}`;
