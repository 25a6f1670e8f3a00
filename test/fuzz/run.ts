/**
 * `npm run fuzz -- --minutes N [--seed S] [--target NAME]`: looks for inputs about which the milter's parsers, or the
 * metadata service's conversations, and their references disagree, that make them fail, or that cost them too much. Inputs that reach new source
 * are kept and changed further. A finding is made short and written to test/corpus; the exit code is then 1.
 */
import { parseArgs } from "node:util";
import { MAX_CASE_MILLISECONDS, timed } from "../services/milter/cpu-limit.ts";
import { writeCase } from "./corpus.ts";
import { startCoverage } from "./coverage.ts";
import { createPick, mutate, seedInputs } from "./inputs.ts";
import { minimise } from "./minimise.ts";
import { type Target, targets } from "./targets.ts";

/** Inputs between two looks at the coverage, which costs as much as several inputs. */
const BATCH = 25;
const PROGRESS_MILLISECONDS = 10_000;
/** A fault shows in many inputs; of each kind one is kept. */
const MAX_FINDINGS = 20;

const watched = [
  ...["address", "armor", "header-field", "incoming", "judge", "mime-header", "multipart", "openpgp"].map(
    (name) => `milter/${name}`,
  ),
  ...["outgoing", "protocol", "packet-reader", "negotiation"].map((name) => `milter/${name}`),
  ...["dictionary", "keys", "line-session", "news-session", "protocol", "session", "store"].map(
    (name) => `metadata/${name}`,
  ),
];

type Finding = Readonly<{ target: string; fault: string; path: string }>;

async function faultOf(target: Target, input: string): Promise<{ outcome: string; fault: string | null }> {
  try {
    const { result, milliseconds } = await timed(() => target.judge(input));
    const { outcome, contradiction } = result;
    const slow = milliseconds > MAX_CASE_MILLISECONDS ? "an input that costs too much time" : null;
    return { outcome, fault: contradiction ?? slow };
  } catch (error) {
    return {
      outcome: "thrown",
      fault: `it fails: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

/** The fault without what differs from input to input. */
function kindOf(fault: string): string {
  return fault.replace(/(?<=mailparser sees ).*/s, "something else").replace(/[0-9]+/g, "N");
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { minutes: { type: "string" }, seed: { type: "string" }, target: { type: "string" } },
  });
  const minutes = Number(values.minutes ?? "1");
  const seed = Number(values.seed ?? String(1 + (Date.now() % 0x7fff_ffff)));
  const chosen = targets.filter(({ name }) => values.target === undefined || name === values.target);
  if (!(minutes > 0) || !Number.isSafeInteger(seed) || chosen.length === 0) {
    console.error(
      `usage: npm run fuzz -- --minutes N [--seed S] [--target NAME]; targets: ${targets.map(({ name }) => name).join(", ")}`,
    );
    return 2;
  }
  const pick = createPick(seed);
  const pools = await seedInputs();
  const findings: Finding[] = [];
  let executions = 0;
  let interrupted = false;
  process.once("SIGINT", () => {
    interrupted = true;
  });
  const coverage = startCoverage((url) => watched.some((name) => url.endsWith(`/services/${name}.ts`)));
  const started = performance.now();
  const progress = (): void => {
    const seconds = (performance.now() - started) / 1000;
    const { covered, known } = coverage.total();
    const kept = [...pools.values()].reduce((sum, pool) => sum + pool.length, 0);
    console.log(
      `${seconds.toFixed(0)} s, seed ${seed}: ${executions} inputs (${(executions / seconds).toFixed(0)}/s), ` +
        `${((100 * covered) / known).toFixed(1)} % of ${known} bytes of source, ${kept} inputs kept, ${findings.length} findings`,
    );
  };

  const report = async (target: Target, input: string, fault: string): Promise<void> => {
    const kind = kindOf(fault);
    if (findings.some((one) => one.target === target.name && one.fault === kind)) return;
    console.log(`\n${target.name}: ${fault}\nmaking it short…`);
    const short = await minimise(input, async (candidate) => {
      const found = (await faultOf(target, candidate)).fault;
      return found !== null && kindOf(found) === kind;
    });
    const { outcome, fault: last } = await faultOf(target, short);
    const why = `found with seed ${seed}: ${last}; the product says ${outcome}: decide, mend, and say why`;
    const path = writeCase({ target: target.name, expected: "undecided", why, input: short });
    findings.push({ target: target.name, fault: kind, path });
    console.log(`${JSON.stringify(short.slice(0, 2000))}\nwritten to ${path}\n`);
  };

  const tryOne = async (target: Target, input: string): Promise<void> => {
    executions++;
    const { fault } = await faultOf(target, input);
    if (fault !== null) await report(target, input, fault);
  };

  for (const target of chosen) for (const input of pools.get(target.name)!) await tryOne(target, input);
  coverage.take();
  let shown = performance.now();
  const isOver = () =>
    interrupted || findings.length >= MAX_FINDINGS || performance.now() - started > minutes * 60_000;
  for (let round = 0; !isOver(); round++) {
    const target = chosen[round % chosen.length]!;
    const pool = pools.get(target.name)!;
    const batch = Array.from({ length: BATCH }, () =>
      mutate(target.name, pool[pick(pool.length)]!, pool[pick(pool.length)]!, pick),
    );
    for (const input of batch) await tryOne(target, input);
    const fresh = coverage.take();
    // Which of the batch reached it shows when they run once more, one by one.
    for (const input of fresh.size > 0 ? batch : []) {
      await faultOf(target, input);
      if (coverage.strike(fresh)) pool.push(input);
    }
    if (performance.now() - shown > PROGRESS_MILLISECONDS) {
      shown = performance.now();
      progress();
    }
  }
  progress();
  coverage.stop();
  for (const { target, fault, path } of findings) console.log(`FINDING ${target}: ${fault}: ${path}`);
  return findings.length > 0 ? 1 : 0;
}

process.exitCode = await main();
