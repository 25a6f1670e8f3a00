/**
 * Which firmware for wireless cards stays: that of the radios on Raspberry Pis, with the settings of each board, and the
 * rules of the countries. Called by exclude.ts; a pure function of the path. Names: drivers/net/wireless/broadcom/
 * brcm80211/brcmfmac in Linux (sdio.c, firmware.c), which asks for brcmfmacCHIP-sdio.BOARD.txt, BOARD being the first
 * "compatible" of the device tree.
 */

/** BCM43430: Pi 3 B and a part of the Zero 2 W. BCM43455: Pi 3 A+ and B+, 4, 5, 500, Compute Modules 4 and 5. */
const CHIPS = "(?:43430|43455)";
const KEPT = new RegExp(
  "^usr/lib/firmware(?:/(?:brcm|cypress)?)?$|" +
    `^usr/lib/firmware/brcm/brcmfmac${CHIPS}-sdio\\.(?:bin|clm_blob|raspberrypi,[^/]*\\.txt)$|` +
    // What the former link to.
    `^usr/lib/firmware/cypress/cyfmac${CHIPS}-sdio\\.(?:bin|clm_blob)$|` +
    // Signed by a key that every kernel knows; Debian's own signature is for Debian's kernels alone.
    "^usr/lib/firmware/regulatory\\.db(?:\\.p7s)?-upstream$",
);

/** Whether the path lies with the firmware and is of no use on a Raspberry Pi. */
export function isForeignFirmware(path: string): boolean {
  return path.startsWith("usr/lib/firmware/") && !KEPT.test(path);
}
