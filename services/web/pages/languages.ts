/**
 * Chooses the language of a page by Accept-Language (RFC 9110 §12.5.4; "lookup" of RFC 4647 §3.4). Pure.
 */

/** Browsers send some dozen characters; more is not read. */
const maxLength = 256;

/** The best of `available`, the first of them when none fits. */
export function chooseLanguage(acceptLanguage: string, available: readonly string[]): string {
  const wanted = acceptLanguage
    .slice(0, maxLength)
    .split(",")
    .map((range, position) => {
      const [tag = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
      const quality = parameters.map((one) => /^q=([01](?:\.\d{0,3})?)$/.exec(one)?.[1]).find((one) => one);
      return { tag, quality: Math.min(1, Number(quality ?? 1)), position };
    })
    .filter(({ tag, quality }) => tag !== "" && quality > 0)
    .sort((a, b) => b.quality - a.quality || a.position - b.position);
  for (const { tag } of wanted) {
    const found = lookUp(tag, available);
    if (found !== undefined) return found;
  }
  return available[0]!;
}

/** "de-at" finds "de-at", else "de". */
function lookUp(tag: string, available: readonly string[]): string | undefined {
  if (tag === "*") return available[0];
  for (let range = tag; range !== ""; range = range.slice(0, Math.max(0, range.lastIndexOf("-")))) {
    if (available.includes(range)) return range;
  }
  return undefined;
}
