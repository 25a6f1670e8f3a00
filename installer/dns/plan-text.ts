/** A plan as a diff: + what is made, - what is removed, ~ what is changed, with old values by - and new by +. Pure. */
import type { RecordSet } from "../../appliance/dns/record-set.ts";
import type { Painter } from "./painter.ts";
import type { DnsPlan, PlannedChange } from "./plan.ts";
import { printableAll } from "./printable.ts";

/** Longer values (keys) are cut in the middle: begin and end tell them apart. */
const MAX_VALUE_LENGTH = 100;

export function planText(plan: DnsPlan, painter: Painter): string {
  const { zone, changes, unchanged, obstacles, notes } = printableAll(plan);
  const made = changes.filter(({ before }) => before === null).length;
  const removed = changes.filter(({ after }) => after.values.length === 0).length;
  const counts = [
    ...[`${made} to add`, `${changes.length - made - removed} to change`],
    ...(removed === 0 ? [] : [`${removed} to remove`]),
    `${unchanged.length} right already`,
  ].join(", ");
  return [
    ...changes.flatMap((change) => changeLines(change, painter)),
    ...obstacles.flatMap(({ name, type, reason, mend }) => [
      `${painter.bad("!")} ${name} ${type}: ${reason}`,
      `    → ${mend}`,
    ]),
    ...notes.map((note) => `${painter.mind("Mind:")} ${note}`),
    `Zone ${zone}: ${counts}.`,
    "",
  ].join("\n");
}

/** One change in a line or more, without the final line break. */
export function changeLines(change: PlannedChange, painter: Painter): string[] {
  const { before, after } = printableAll(change);
  const head = `${after.name} ${after.type}`;
  if (before === null) return after.values.map((value) => painter.good(`+ ${head} ${shown(value)}`));
  if (after.values.length === 0)
    return before.values.map((value) => painter.bad(`- ${head} ${shown(value)}`));
  const has = (set: RecordSet, value: string) => set.values.includes(value);
  return [
    painter.mind(`~ ${head}`),
    ...before.values
      .filter((value) => !has(after, value))
      .map((value) => painter.bad(`    - ${shown(value)}`)),
    ...before.values.filter((value) => has(after, value)).map((value) => `      ${shown(value)}`),
    ...after.values
      .filter((value) => !has(before, value))
      .map((value) => painter.good(`    + ${shown(value)}`)),
  ];
}

function shown(value: string): string {
  if (value.length <= MAX_VALUE_LENGTH) return value;
  const half = Math.floor(MAX_VALUE_LENGTH / 2);
  return `${value.slice(0, half)}…${value.slice(-half)}`;
}
