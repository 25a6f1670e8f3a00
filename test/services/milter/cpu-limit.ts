/**
 * What one case may cost in the tests of the judgement and in the fuzzer: processor time, so that a loaded machine
 * changes little. Called around the product alone or, where that cannot be told apart, its reference with it.
 */

/**
 * Milliseconds. A message of the tests takes 1 to 3; 17 is the most that was measured, with the compilation of what runs
 * for the first time and a reference. An expression or a loop that somebody can attack takes far longer.
 */
export const MAX_CASE_MILLISECONDS = 500;

/** What `work` gives, and the processor time of this process meanwhile. */
export async function timed<Result>(
  work: () => Result | Promise<Result>,
): Promise<{ result: Result; milliseconds: number }> {
  const before = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  return { result, milliseconds: (user + system) / 1000 };
}
