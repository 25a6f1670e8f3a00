/** Makes an input that shows a fault as short as it stays at fault (delta debugging: lines first, then characters). */

/** How often the fault may be tried; a finding must not cost more time than it is worth. */
const MAX_TRIALS = 3000;

/** @param isFaulty whether a candidate still shows the fault */
export async function minimise(
  input: string,
  isFaulty: (candidate: string) => Promise<boolean>,
): Promise<string> {
  let trials = 0;
  const reduce = async (pieces: string[]): Promise<string[]> => {
    let kept = pieces;
    for (let size = Math.ceil(kept.length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < kept.length && trials < MAX_TRIALS; ) {
        const candidate = [...kept.slice(0, at), ...kept.slice(at + size)];
        trials++;
        if (await isFaulty(candidate.join(""))) kept = candidate;
        else at += size;
      }
    }
    return kept;
  };
  const lines = (await reduce(input.split(/(?<=\n)/))).join("");
  return (await reduce([...lines])).join("");
}
