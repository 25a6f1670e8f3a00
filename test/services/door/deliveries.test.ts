/**
 * Who gets a message whose delivery ended unseen (services/door/deliveries.ts): an orphan of Dovecot may still be writing
 * it, so the mailbox is asked only after a while. On a real list.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type DeliveredList, openDeliveredList } from "../../../services/door/delivered-list.ts";
import { type Claim, createDeliveries } from "../../../services/door/deliveries.ts";
import { createLog } from "../../../services/lib/log.ts";

/** Long enough that what is done without waiting is done before. */
const SETTLE_MS = 300;
/** Who waits for this does not come to an end. */
const FOR_EVER_MS = 3_600_000;
/** Node's timers may come a millisecond early. */
const EARLY_MS = 2;
const bob = "bob@b.test";
const message = {
  ...{ sender: "alice@a.test", recipients: [bob], digest: Buffer.alloc(32, 1), messageId: "<1@a.test>" },
};
const log = createLog(() => {});

let folder: string;
let list: DeliveredList;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-deliveries-"));
  list = openDeliveredList({ path: join(folder, "delivered"), log });
});
afterEach(async () => {
  list.close();
  await rm(folder, { recursive: true });
});

/** A new process on the list. `isThere` is what the mailbox says; it throws when it cannot be asked. */
function open(isThere: () => boolean = () => false, settleMs = SETTLE_MS) {
  let skipped = 0;
  const asked: number[] = [];
  const now = () => performance.now() + skipped;
  const arrived: string[] = [];
  const { claim } = createDeliveries({
    ...{ list, now, log, counted: () => {}, settleMs },
    arrived: (recipient, sender) => void arrived.push(`${sender} > ${recipient}`),
    isInMailbox: async () => {
      asked.push(now());
      return isThere();
    },
  });
  return { claim, asked, arrived, now, skip: (ms: number) => (skipped += ms) };
}
const finish = (claim: Claim, outcome: "delivered" | "refused" | "unknown") => {
  if (claim.kind !== "deliver") throw new Error("it is not to be delivered");
  claim.finish([outcome]);
};
const answered = (verdict: "delivered" | "later") => ({ kind: "answer", verdicts: [verdict] });

it("asks the mailbox only when an orphan has had its time, and once for all who ask meanwhile", async () => {
  let isWritten = false;
  const door = open(() => isWritten);
  finish(await door.claim(message), "unknown");
  const lost = door.now();
  const tries = [door.claim(message), door.claim(message)];
  isWritten = true;
  expect(await Promise.all(tries)).toEqual([answered("delivered"), answered("delivered")]);
  expect(door.asked).toHaveLength(1);
  expect(door.asked[0]! - lost).toBeGreaterThanOrEqual(SETTLE_MS - EARLY_MS);
  expect(await door.claim(message)).toEqual(answered("delivered"));
  expect(door.asked).toHaveLength(1);
  expect(door.arrived).toEqual([`alice@a.test > ${bob}`]);
});

it("delivers it again when it is not there, to one of those who come at once", async () => {
  const door = open();
  finish(await door.claim(message), "unknown");
  const tries = [1, 2].map(async () => {
    const claim = await door.claim(message);
    if (claim.kind === "deliver") claim.finish(["delivered"]);
    return claim.kind === "deliver" ? "delivered now" : claim.verdicts[0];
  });
  expect((await Promise.all(tries)).sort()).toEqual(["delivered", "delivered now"]);
  expect(door.asked).toHaveLength(1);
});

it("waits from its own start for what another process had begun, and no more when that is long ago", async () => {
  await open().claim(message);
  const started = performance.now();
  const next = open();
  expect((await next.claim(message)).kind).toBe("deliver");
  expect(next.asked[0]! - started).toBeGreaterThanOrEqual(SETTLE_MS - EARLY_MS);
  const late = open(() => true, FOR_EVER_MS);
  late.skip(FOR_EVER_MS);
  expect(await late.claim(message)).toEqual(answered("delivered"));
});

it("lets it come again later while the mailbox cannot be asked, and waits no second time", async () => {
  let isAway = true;
  const door = open(() => {
    if (isAway) throw new Error("Dovecot is away");
    return true;
  }, FOR_EVER_MS);
  finish(await door.claim(message), "unknown");
  door.skip(FOR_EVER_MS);
  expect(await door.claim(message)).toEqual(answered("later"));
  isAway = false;
  expect(await door.claim(message)).toEqual(answered("delivered"));
  expect(door.asked).toHaveLength(2);
});

it("delivers at once what was refused, and to whoever has it not beside those who do", async () => {
  const door = open();
  finish(await door.claim(message), "refused");
  finish(await door.claim(message), "delivered");
  const both = { ...message, recipients: [bob, "carol@b.test"] };
  expect(await door.claim(both)).toEqual({ kind: "answer", verdicts: ["delivered", "later"] });
  finish(await door.claim({ ...message, recipients: ["carol@b.test"] }), "delivered");
  expect(await door.claim(both)).toEqual({ kind: "answer", verdicts: ["delivered", "delivered"] });
  expect(door.asked).toEqual([]);
});
