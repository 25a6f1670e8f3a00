/** A link as a QR code of text, for terminals. Called by homing-ctl and by the wizard's last words. Pure. */
import { encodeQR } from "qr";

/** Light modules around the code, that scanners need (ISO/IEC 18004 §9.1). */
const BORDER = 4;

/**
 * Half a block a module: as many columns as modules, with half as many lines. In colour it is always light on dark,
 * whatever the terminal's colours are.
 */
export function qrText(link: string, inColour: boolean): string {
  const lines = encodeQR(link, "ascii", { border: BORDER, ecc: "low" }).trimEnd().split("\n");
  return lines.map((line) => (inColour ? `\x1b[40;97m${line}\x1b[0m` : line)).join("\n");
}
