/**
 * Messages of an account that still wait in Postfix' queue, by postqueue(1) and postsuper(1). Used by homing-ctl account, as
 * root: whoever is blocked or deleted sends nothing any more.
 */
import type { CtlIo } from "./command.ts";
import { ControlError } from "./control-client.ts";

/** Options of postsuper(1). What is held waits until it is released, however long that is. */
const options = { hold: "-h", release: "-H", delete: "-d" } as const;

/** A command line holds far more (execve(2)). */
const mostInOneCall = 500;

/** Whether what `hold` made wait counts, or all else. */
const queuesOf: Readonly<Record<keyof typeof options, (queue: string) => boolean>> = {
  hold: (queue) => queue !== "hold",
  release: (queue) => queue === "hold",
  delete: () => true,
};

/** What it sent and has not gone out, done so with; how many messages that are. @throws ControlError */
export async function treatQueued(io: CtlIo, what: keyof typeof options, address: string): Promise<number> {
  const ids: string[] = [];
  for await (const line of io.runLines("postqueue", ["-j"])) {
    const { queue_name, queue_id, sender } = JSON.parse(line) as Record<string, string>;
    // As the client wrote it, in any case of its letters.
    if (sender?.toLowerCase() === address && queuesOf[what](queue_name!)) ids.push(queue_id!);
  }
  for (let from = 0; from < ids.length; from += mostInOneCall) {
    const some = ids.slice(from, from + mostInOneCall).flatMap((id) => [options[what], id]);
    // One that has gone meanwhile is passed over.
    const { code, stderr } = await io.run("postsuper", some);
    if (code !== 0) throw new ControlError(`messages may still go out: ${stderr.trim().split("\n").at(-1)}`);
  }
  return ids.length;
}
