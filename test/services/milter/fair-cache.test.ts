import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createFairCache } from "../../../services/milter/fair-cache.ts";

describe("a fair cache", () => {
  it("keeps what was used last, while all is one owner's", () => {
    const cache = createFairCache<number>(2);
    cache.set("a", "x", 1);
    cache.set("b", "x", 2);
    cache.get("a");
    cache.set("c", "x", 3);
    expect(["a", "b", "c"].map(cache.get)).toEqual([1, undefined, 3]);
  });

  it("takes from whoever has most", () => {
    const cache = createFairCache<number>(3);
    cache.set("a", "x", 1);
    for (const key of ["b", "c", "d", "e"]) cache.set(key, "y", 2);
    expect(["a", "b", "c", "d", "e"].map(cache.get)).toEqual([1, undefined, undefined, 2, 2]);
  });

  it("counts an entry as its last owner's", () => {
    const cache = createFairCache<number>(3);
    cache.set("a", "x", 1);
    cache.set("b", "x", 1);
    cache.set("a", "y", 2);
    cache.set("c", "y", 2);
    cache.set("d", "z", 3);
    expect(["a", "b", "c", "d"].map(cache.get)).toEqual([undefined, 1, 2, 3]);
  });

  it("is bounded, and never takes from an owner with less than a fair share", () => {
    const most = 12;
    const step = fc.record({
      key: fc.nat(40),
      owner: fc.constantFrom("a", "b", "c"),
      act: fc.constantFrom("set", "set", "get", "delete"),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const cache = createFairCache<string>(most);
        const expected = new Map<string, string>();
        for (const { key: number, owner, act } of steps) {
          const key = String(number);
          if (act === "get") expect(cache.get(key)).toBe(expected.get(key));
          if (act === "delete") {
            cache.delete(key);
            expected.delete(key);
          }
          if (act !== "set") continue;
          cache.set(key, owner, owner);
          expected.set(key, owner);
          // Reading all of them in one order changes nothing about who has how many.
          const lost = [...expected.keys()].filter((each) => cache.get(each) === undefined);
          expect(lost.length).toBe(expected.size > most ? 1 : 0);
          for (const each of lost) {
            const loser = expected.get(each)!;
            const share = [...expected.values()].filter((value) => value === loser).length;
            expect(share).toBeGreaterThan(most / 3);
            expected.delete(each);
          }
        }
      }),
    );
  });
});
