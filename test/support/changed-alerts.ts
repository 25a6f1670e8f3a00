/**
 * Alerts with one number or delay changed each, and their tests under the names of these, so that promtool says of every
 * change whether a test notices it. Works on the text of monitoring/alerts.yml and alerts-test.yml, in the shape that they
 * have. Pure; used by monitoring.test.ts.
 */

export type ChangedAlert = Readonly<{
  /** Of the alert that it was made of. */
  alert: string;
  /** Says what was changed; no other has it. */
  name: string;
  /** The rule, under that name. */
  rule: string;
}>;

/** One piece of the tests, with what it tests of changed alerts and nothing else: a file of each kind for promtool. */
export type ChangedTest = Readonly<{ rules: string; tests: string }>;

/** A number that is none of a name, a duration or a label's value. */
const NUMBER = /(?<![\w.["])\d+(?:\.\d+)?(?![\w.\]"])/g;
const LINE_OF_DELAY = /^ {8}for: (\d+)([mh])\n/m;

/** Of a copy that nothing is changed of: what a test says of it, it says of the new name alone. */
const UNCHANGED = "as it is";

export function isUnchanged({ name }: ChangedAlert): boolean {
  return name.endsWith(UNCHANGED);
}

/** Each alert as it is, each number of an expression halved and doubled (nothing made less than nothing, and two), each delay too, or left out. */
export function changedAlerts(rules: string): ChangedAlert[] {
  return rules
    .split(/(?=^ {6}- alert: )/m)
    .slice(1)
    .flatMap((rule) => {
      const alert = /^ {6}- alert: (\w+)$/m.exec(rule)![1]!;
      const [expression, body] = /^ {8}expr: (?:\|\n +)?(.*)$/m.exec(rule)!;
      const start = rule.indexOf(expression) + expression.length - body!.length;
      const changes = [{ what: UNCHANGED, changed: rule }];
      for (const [i, { 0: number, index }] of [...body!.matchAll(NUMBER)].entries()) {
        const value = Number(number);
        for (const other of value === 0 ? [-1, 2] : [value / 2, value * 2]) {
          const at = start + index;
          const changed = `${rule.slice(0, at)}${other}${rule.slice(at + number.length)}`;
          changes.push({ what: `with ${other} for its number ${i + 1}`, changed });
        }
      }
      const delay = LINE_OF_DELAY.exec(rule);
      if (delay !== null) {
        const [line, amount, unit] = delay;
        changes.push({ what: "without its delay", changed: rule.replace(line, "") });
        for (const factor of [0.5, 2]) {
          const seconds = Number(amount) * (unit === "h" ? 3_600 : 60) * factor;
          const changed = rule.replace(line, `        for: ${seconds}s\n`);
          changes.push({ what: `with a delay of ${seconds} s`, changed });
        }
      }
      return changes.map(({ what, changed }) => {
        const name = `${alert} ${what}`;
        return { alert, name, rule: changed.replace(`- alert: ${alert}\n`, `- alert: ${name}\n`) };
      });
    });
}

/**
 * The tests, each with the changed alerts that it has something to say of.
 * @param rulesFile how promtool finds the rules of a piece, by its number
 */
export function testsOfChanged(
  tests: string,
  changed: readonly ChangedAlert[],
  rulesFile: (piece: number) => string,
): ChangedTest[] {
  const [head, ...pieces] = tests.split(/(?=^ {2}- name: )/m) as [string, ...string[]];
  return pieces.map((piece, i) => {
    const [series, cases] = piece.split(/(?<=^ {4}alert_rule_test:\n)/m) as [string, string];
    const ownCases = cases.split(/(?=^ {6}- )/m);
    const alertOf = (one: string) => /\balertname: (\w+)/.exec(one)![1]!;
    const own = changed.filter(({ alert }) => ownCases.some((one) => alertOf(one) === alert));
    const changedCases = own.flatMap(({ alert, name }) =>
      ownCases
        .filter((one) => alertOf(one) === alert)
        .map((one) => one.replace(`alertname: ${alert}`, `alertname: ${name}`)),
    );
    return {
      rules: `groups:\n  - name: changed\n    rules:\n${own.map(({ rule }) => rule).join("")}`,
      tests: `${head.replace("[alerts.yml]", `[${rulesFile(i)}]`)}${series}${changedCases.join("")}`,
    };
  });
}
