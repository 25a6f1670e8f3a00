/**
 * A QR code (ISO/IEC 18004) as an SVG that scales. Dark on light in any theme: some scanners read nothing else.
 */
import encodeQR from "qr";
import { escapeHtml } from "./template.ts";

/** ISO/IEC 18004 §6.3.8: four modules around it stay light. */
const quietZone = 4;

/** `label` is read out instead of the picture. Level M mends 15 % that is scratched, or glares. */
export function qrSvg(text: string, label: string): string {
  const rows = encodeQR(text, "raw", { ecc: "medium", border: quietZone });
  const size = rows.length;
  const path = rows.flatMap((row, y) => runs(row).map(([x, length]) => `M${x} ${y}h${length}v1h-${length}z`));
  return (
    `<svg class="qr-code" viewBox="0 0 ${size} ${size}" role="img" aria-label="${escapeHtml(label)}" ` +
    `shape-rendering="crispEdges"><path fill="#fff" d="M0 0h${size}v${size}H0z"/>` +
    `<path fill="#000" d="${path.join("")}"/></svg>`
  );
}

/** The dark runs of a row, as start and length. */
function runs(row: readonly boolean[]): [number, number][] {
  const found: [number, number][] = [];
  for (let x = 0; x < row.length; x += 1) {
    if (!row[x]) continue;
    const start = x;
    while (row[x + 1]) x += 1;
    found.push([start, x - start + 1]);
  }
  return found;
}
