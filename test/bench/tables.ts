/** What the benches of the whole stack print, and how they make one figure of several runs. */

/** Programs that use less than this part of the whole are added up in one row. */
const LEAST_SHARE = 0.01;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** One timed stretch under load. CPU in milliseconds for each thing done. */
export type LoadResult = Readonly<{
  perSecond: number;
  relayCpu: number;
  clientCpu: number;
  /** Of all processors, by relays and clients: the rest was idle, waiting for the disk, or others'. */
  coresUsed: number;
  shares: readonly (readonly [program: string, milliseconds: number])[];
}>;

/** A figure of a run, and how it is shown. */
export type Column<Result> = readonly [title: string, digits: number, figure: (result: Result) => number];

/** Prints a row for each of what was compared: the medians over its runs. */
export function printMedians<Result>(
  columns: readonly Column<Result>[],
  compared: Iterable<readonly [name: string, runs: readonly Result[]]>,
): void {
  console.log(`| | ${columns.map(([title]) => title).join(" | ")} |`);
  console.log(`|---|${"---:|".repeat(columns.length)}`);
  for (const [name, runs] of compared) {
    const figures = columns.map(([, digits, figure]) => median(runs.map(figure)).toFixed(digits));
    console.log(`| ${name} | ${figures.join(" | ")} |`);
  }
}

/** Prints the CPU time of each program as the median over the runs, with its part of the whole. */
export function printShares(
  title: string,
  unit: string,
  runs: readonly (readonly (readonly [program: string, used: number])[])[],
): void {
  const byProgram = new Map<string, number[]>();
  for (const run of runs)
    for (const [program, used] of run) byProgram.set(program, [...(byProgram.get(program) ?? []), used]);
  const medians = [...byProgram].map(([program, used]): [string, number] => [
    program,
    // A program that a run has not seen used nothing there.
    median([...used, ...Array<number>(runs.length - used.length).fill(0)]),
  ]);
  const whole = medians.reduce((sum, [, used]) => sum + used, 0);
  const isShown = ([, used]: [string, number]) => used >= whole * LEAST_SHARE;
  const others = medians.filter((row) => !isShown(row)).reduce((sum, [, used]) => sum + used, 0);
  const rows = medians.filter(isShown).sort(([, x], [, y]) => y - x);
  console.log(`\n### ${title}\n`);
  console.log(`| program | ${unit} | share |`);
  console.log("|---|---:|---:|");
  for (const [program, used] of [...rows, ["others", others] as const]) {
    console.log(`| ${program} | ${used.toFixed(2)} | ${((used / whole) * 100).toFixed(0)} % |`);
  }
}
