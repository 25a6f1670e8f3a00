/**
 * Texts of strangers for a terminal: names and values in a zone may hold any octet, also the sequences by which terminals
 * are steered. Pure; called by check.ts for the whole report, and by plan-text.ts.
 */

/** Control, format and unassigned characters become question marks. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, "?");
}

/** The same for every text in a value made of plain objects and lists. */
export function printableAll<Value>(value: Value): Value {
  if (typeof value === "string") return printable(value) as Value;
  if (Array.isArray(value)) return value.map(printableAll) as Value;
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, printableAll(each)])) as Value;
}
