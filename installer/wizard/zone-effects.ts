/**
 * The wizard's work in a zone at its provider: the plan, the change, what is there of a change that was cut off, and
 * taking it back. Called by dns-effects.ts.
 */
import { isDeepStrictEqual } from "node:util";
import type { RecordSet } from "../../appliance/dns/record-set.ts";
import type { ZoneKeeper } from "../dns/apply.ts";
import type { ZoneBackup } from "../dns/backup.ts";
import type { DnsPlan, PlannedChange } from "../dns/plan.ts";
import { printable } from "../dns/printable.ts";
import type { DesiredDns } from "../dns/wanted.ts";
import { errorWords } from "../error-words.ts";
import type { CutOff, Effects, Finding } from "./effects.ts";
import type { KeeperFor } from "./provider-session.ts";

/** The zone is not any more as it was when the person agreed to the plan. */
export class PlanChangedError extends Error {
  override name = "PlanChangedError";
}

/** Somebody waits to learn what a change that was cut off has left; a provider in trouble answers late. */
const LOOK_MILLISECONDS = 15_000;

export type DesiredOf = (folder: string, addresses: readonly string[]) => Promise<DesiredDns>;

export function zoneEffects(
  keeperFor: KeeperFor,
  desired: DesiredOf,
): Pick<Effects, "plan" | "apply" | "undo"> {
  return {
    async plan(task, { signal }) {
      const { readPlan } = await import("../dns/apply.ts");
      const wanted = await desired(task.folder, task.answers.addresses);
      const keeper = await keeperFor(task, { signal, how: "at once" });
      const { removeParking } = task;
      const { plan } = await readPlan(wanted, { ...keeper, removeParking });
      const isParked = plan.obstacles.length > 0 && plan.parking.length > 0;
      // Offered where nothing else is in the way.
      const unparked = isParked ? await readPlan(wanted, { ...keeper, removeParking: true }) : undefined;
      const parking = unparked?.plan.obstacles.length === 0 ? plan.parking : [];
      const obstacles = plan.obstacles.map(
        ({ name, type, reason, mend }) => `${name} ${type}: ${reason}. ${mend}`,
      );
      const blocked = obstacles.length === 0 ? undefined : obstacles.join("\n");
      const findings = plan.notes.map((text): Finding => ({ mark: "warning", text }));
      const websites = [...new Set(plan.websites.map(({ name }) => name))];
      return {
        plan: { changes: await changesOf(plan), findings, blocked, websites, parking: parking.map(shownSet) },
      };
    },
    async apply(task, { signal }) {
      const [{ applyDns }, { noteFinished, writeBackup }] = await Promise.all([
        import("../dns/apply.ts"),
        import("../dns/backup.ts"),
      ]);
      const wanted = await desired(task.folder, task.answers.addresses);
      const keeper = await keeperFor(task, { signal, how: "gently" });
      let begun: { path: string; zone: ZoneBackup } | undefined;
      try {
        const applied = await applyDns(
          wanted,
          { ...keeper, removeParking: task.removeParking },
          {
            confirm: async (plan) => isDeepStrictEqual(await changesOf(plan), task.changes),
            keepBackup: async (zone) => {
              begun = { path: await writeBackup(task.folder, zone), zone };
              return begun.path;
            },
            noteFinished,
            signal,
          },
        );
        const { outcome, backup, plan } = applied;
        if (outcome === "declined") {
          throw new PlanChangedError("The zone has changed since you saw the plan, so nothing was done.");
        }
        const awaited = [...plan.changes.map(({ after }) => after), ...plan.unchanged];
        return {
          awaited: awaited.map(({ name, type }) => ({ name, type })),
          findings: backup === null ? [] : [{ mark: "note", text: backupWords(backup) }],
          cutOff: undefined,
        };
      } catch (error) {
        // A mistake of the program ends the wizard; the next start says that the change was begun.
        const words = signal.aborted ? "You stopped it." : errorWords(error);
        if (begun === undefined) signal.throwIfAborted();
        if (begun === undefined || words === undefined) throw error;
        const look = { signal: AbortSignal.timeout(LOOK_MILLISECONDS), how: "at once" } as const;
        const cutOff = await cutOffOf(begun.zone, await keeperFor(task, look));
        return { awaited: [], findings: [], cutOff: { ...cutOff, why: words, backup: begun.path } };
      }
    },
    async undo(task, { signal }) {
      const [{ applyUndo, planUndo }, { readBackup }] = await Promise.all([
        import("../dns/apply.ts"),
        import("../dns/backup.ts"),
      ]);
      const backup = await readBackup(task.backup);
      const { provider } = await keeperFor(task, { signal, how: "gently" });
      const steps = await planUndo(backup, provider);
      const done = await applyUndo(backup, steps, provider).catch((error: unknown) => {
        signal.throwIfAborted();
        throw error;
      });
      const foreign = steps.filter(({ state }) => state === "changed since");
      return {
        findings: [
          { mark: "good", text: `Taken back: ${countOf(done.length)} as before the change.` },
          ...foreign.map(
            ({ change: { after } }): Finding => ({
              mark: "warning",
              text: `${after.name} ${after.type} was changed by somebody else since, so it stays as it is.`,
            }),
          ),
        ],
      };
    },
  };
}

const shownSet = ({ name, type, values }: RecordSet) => printable(`${name} ${type} ${values.join(", ")}`);

const countOf = (sets: number) => (sets === 1 ? "one record set is" : `${sets} record sets are`);

function backupWords(path: string): string {
  return `The zone as it was is in ${path}; ./homing dns undo with that file takes the change back.`;
}

/** "unknown" when the provider cannot be asked any more. */
async function cutOffOf(
  zone: ZoneBackup,
  { provider }: ZoneKeeper,
): Promise<Pick<CutOff, "written" | "missing" | "isKnown">> {
  const { readHalfDone } = await import("../dns/half-done.ts");
  try {
    const { written, missing, partly } = await readHalfDone(zone, provider);
    const names = (changes: readonly PlannedChange[]) =>
      changes.map(({ after: { name, type } }) => `${name} ${type}`);
    const inPart = names(partly).map((name) => `${name} (in part)`);
    return { written: names(written), missing: [...names(missing), ...inPart], isKnown: true };
  } catch (error) {
    if (errorWords(error) === undefined) throw error;
    const names = zone.changes.map(({ after: { name, type } }) => `${name} ${type}`);
    return { written: [], missing: names, isKnown: false };
  }
}

/** What a person is shown of a plan, and agrees to. */
async function changesOf({ changes }: DnsPlan): Promise<string[]> {
  const [{ changeLines }, { painterFor }] = await Promise.all([
    import("../dns/plan-text.ts"),
    import("../dns/painter.ts"),
  ]);
  const plain = painterFor({}, {});
  return changes.flatMap((change) => changeLines(change, plain));
}
