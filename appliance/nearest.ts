/**
 * The known name nearest to a mistyped one, for "did you mean …": used by the command line for verbs and by
 * the settings for keys. Distance after Damerau and Levenshtein, restricted (optimal string alignment).
 */

/** More changes than this share of the name's letters is another word, not a slip. */
const FARTHEST_SHARE = 0.5;

/** The candidate nearest to `name` (case, `-` and `_` count for nothing), undefined when none comes near. */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = plain(name);
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, plain(candidate));
    const farthest = Math.max(wanted.length, plain(candidate).length) * FARTHEST_SHARE;
    if (distance < farthest && (!best || distance < best.distance)) best = { candidate, distance };
  }
  return best?.candidate;
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, "");
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1;
      let distance = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + cost,
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        distance = Math.min(distance, (beforePrevious[column - 2] ?? 0) + 1);
      }
      current.push(distance);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
