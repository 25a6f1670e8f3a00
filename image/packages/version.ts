/**
 * Compares version numbers of Debian packages by the rules of deb-version(7). Called by the resolver.
 */

/** Weight of a character between digits: "~" sorts before even the end, letters before all other characters. */
function weight(character: string | undefined): number {
  if (character === undefined) return 0;
  if (character === "~") return -1;
  const code = character.charCodeAt(0);
  return /[A-Za-z]/.test(character) ? code : code + 256;
}

/** Compares an upstream version or a revision: alternately a part without digits and a number. */
function compareParts(a: string, b: string): number {
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    while ((i < a.length && !isDigit(a[i])) || (j < b.length && !isDigit(b[j]))) {
      const difference = weight(isDigit(a[i]) ? undefined : a[i]) - weight(isDigit(b[j]) ? undefined : b[j]);
      if (difference !== 0) return Math.sign(difference);
      i++;
      j++;
    }
    const first = /^\d*/.exec(a.slice(i))![0];
    const second = /^\d*/.exec(b.slice(j))![0];
    const difference = BigInt(first || "0") - BigInt(second || "0");
    if (difference !== 0n) return difference < 0n ? -1 : 1;
    i += first.length;
    j += second.length;
  }
  return 0;
}

function isDigit(character: string | undefined): boolean {
  return character !== undefined && character >= "0" && character <= "9";
}

function split(version: string): { epoch: number; upstream: string; revision: string } {
  const colon = version.indexOf(":");
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf("-");
  return {
    epoch: colon < 0 ? 0 : Number(version.slice(0, colon)),
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? "" : rest.slice(dash + 1),
  };
}

/** Negative when `a` is older than `b`, positive when it is newer, 0 when they are equal. */
export function compareVersions(a: string, b: string): number {
  const first = split(a);
  const second = split(b);
  return (
    Math.sign(first.epoch - second.epoch) ||
    compareParts(first.upstream, second.upstream) ||
    compareParts(first.revision, second.revision)
  );
}
