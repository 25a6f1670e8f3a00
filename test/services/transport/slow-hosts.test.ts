/** Hosts that let messages wait, and those that do not. */
import { expect, it } from "vitest";
import {
  createSlowHosts,
  PLACES_OF_SLOW_HOST,
  SLOW_AFTER_MS,
} from "../../../services/transport/slow-hosts.ts";

it("gives a slow host no more than its places, others theirs, and all again when it is done", async () => {
  let now = 0;
  const hosts = createSlowHosts(() => now);
  const { promise: end, resolve: finish } = Promise.withResolvers<string>();
  const deliver = (domain: string, what: Promise<string>) =>
    hosts.guard(
      domain,
      () => what,
      () => "refused",
    );
  const done = Promise.resolve("delivered");
  const waiting = Array.from({ length: PLACES_OF_SLOW_HOST }, () => deliver("slow.example", end));
  // Many at once are no sign of a slow host.
  expect(await deliver("slow.example", done)).toBe("delivered");
  now += SLOW_AFTER_MS + 1;
  expect(await deliver("slow.example", done)).toBe("refused");
  expect(await deliver("other.example", done)).toBe("delivered");
  finish("late");
  expect(await Promise.all(waiting)).toEqual(waiting.map(() => "late"));
  expect(await deliver("slow.example", done)).toBe("delivered");
});
