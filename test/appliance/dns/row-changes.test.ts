/** Single records becoming record sets (appliance/dns/row-changes.ts), over a table in memory. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { groupValues, isSameName, type RecordSet, sameValues } from "../../../appliance/dns/record-set.ts";
import { applyRowChanges, rowChanges, type StoredRow } from "../../../appliance/dns/row-changes.ts";

const value = fc.constantFrom("192.0.2.1", "192.0.2.2", "192.0.2.3");
const setName = fc.record({ name: fc.constantFrom("a.test", "b.test"), type: fc.constantFrom("A", "CNAME") });
const rows = fc
  .array(fc.tuple(setName, value, fc.constantFrom(60, 3600)), { maxLength: 8 })
  .map((all) =>
    all.map(
      ([of, text, ttl], id): StoredRow => ({ ...of, ttl, value: valueFor(of.type, text), id: String(id) }),
    ),
  );
const sets = fc
  .uniqueArray(fc.tuple(setName, fc.uniqueArray(value)), { comparator: ([a], [b]) => isSameName(a, b) })
  .map((all) =>
    all.map(
      ([of, values]): RecordSet => ({
        ...of,
        ttl: 300,
        values: values.map((text) => valueFor(of.type, text)),
      }),
    ),
  );
const valueFor = (type: string, text: string) => (type === "A" ? text : `${text.replaceAll(".", "-")}.test.`);

describe("single records", () => {
  it("get a new TTL with the value in canonical form, however it was listed", () => {
    const row = { id: "1", name: "a.test", type: "CNAME", ttl: 60, value: "B.test" };
    const set = { name: "a.test", type: "CNAME", ttl: 300, values: ["b.test."] };
    expect(rowChanges([row], [set]).update).toEqual([
      { row, to: { name: "a.test", type: "CNAME", ttl: 300, value: "b.test." } },
    ]);
  });

  it("become the sets, the others stay, and a failure at any of them is made good the next time", async () => {
    await fc.assert(
      fc.asyncProperty(rows, sets, fc.nat(10), async (before, wanted, end) => {
        let table = [...before];
        let nextId = 100;
        const run = async (limit: number) => {
          let left = limit;
          const step = () => {
            if (left-- === 0) throw new Error("failed");
          };
          return await applyRowChanges(rowChanges(table, wanted), {
            create: async (row) => {
              step();
              table.push({ ...row, id: String(nextId++) });
            },
            update: async ({ id }, to) => {
              step();
              table = table.map((one) => (one.id === id ? { ...to, id } : one));
            },
            remove: async ({ id }) => {
              step();
              table = table.filter((one) => one.id !== id);
            },
          });
        };
        await run(end).catch(() => undefined);
        await run(Number.POSITIVE_INFINITY);
        for (const set of wanted) {
          const [now] = groupValues(table.filter((row) => isSameName(row, set)));
          expect(sameValues(now ?? { ...set, values: [] }, set)).toBe(true);
          if (now !== undefined) expect(now.ttl).toBe(300);
        }
        const isForeign = (row: StoredRow) => !wanted.some((set) => isSameName(row, set));
        expect(table.filter(isForeign)).toEqual(before.filter(isForeign));
        expect(await run(0)).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  it("are written over rather than taken away, so that no set is empty in between", () => {
    const row = { id: "7", name: "a.test", type: "A", ttl: 60, value: "192.0.2.1" };
    const changes = rowChanges([row], [{ ...row, values: ["192.0.2.2", "192.0.2.3"] }]);
    expect(changes.update.map(({ row: { id }, to }) => [id, to.value])).toEqual([["7", "192.0.2.2"]]);
    expect(changes.create.map((one) => one.value)).toEqual(["192.0.2.3"]);
    expect([...changes.remove, ...changes.removeFirst]).toEqual([]);
  });

  it("go first where they stand in an alias's way", () => {
    const row = { id: "7", name: "a.test", type: "A", ttl: 60, value: "192.0.2.1" };
    const alias = { name: "a.test", type: "CNAME", ttl: 60, values: ["b.test."] };
    expect(rowChanges([row], [{ ...row, values: [] }, alias]).removeFirst).toEqual([row]);
    expect(rowChanges([row], [{ ...row, values: [] }]).remove).toEqual([row]);
    // An alias of the zone itself (ALIAS) excludes addresses, and nothing else.
    const ofZone = { id: "8", name: "a.test", type: "ALIAS", ttl: 60, value: "pixie.test." };
    const gone = { ...ofZone, values: [] };
    const text = { name: "a.test", type: "TXT", ttl: 60, values: ['"x"'] };
    expect(rowChanges([ofZone], [gone, { ...row, values: [row.value] }]).removeFirst).toEqual([ofZone]);
    expect(rowChanges([ofZone], [gone, text]).remove).toEqual([ofZone]);
  });
});
