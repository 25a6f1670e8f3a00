/** The address that From names, against mailparser's reading of the same field. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { formatAddress, parseFrom } from "../../../services/milter/address.ts";
import { fromBinary } from "../../../services/milter/header-field.ts";
import { mailparserFrom } from "./reference-header.ts";

const SEED = 1847;
const RUNS = 10_000;

const piece = fc.constantFrom(
  ...["a", "b.test", "a@b.test", "<a@b.test>", "c@d.test", "<c@d.test>", "Alice", "Bob B.", "group:", "x"],
  ...["<", ">", "@", ",", ";", ":", '"', "\\", "(", ")", "[", "]", ".", " ", "\n ", "\t", "\r", "\0"],
  ...["=?utf-8?q?=3Cc=40d.test=3E=2C?=", "=?utf-8?b?PGNAZC50ZXN0Pg==?=", "=?utf-8?q?x?=", "=", "?", "'"],
  ...['"c@d.test"', '"Doe, A"', "(c@d.test)", "(<c@d.test>)", "[192.0.2.1]", "%", "!", "undisclosed"],
  ...["\xc3\xbc", "\xff", "b\xc3\xbccher.test", "xn--bcher-kva.test"],
);

it(`an address taken from From is the one that mailparser sees (${RUNS} of seed ${SEED})`, async () => {
  let taken = 0;
  const value = fc.tuple(fc.array(piece, { minLength: 1, maxLength: 6 }), fc.boolean());
  const property = fc.asyncProperty(value, async ([pieces, hasAddress]) => {
    const text = pieces.join("") + (hasAddress ? " <a@b.test>" : "");
    const address = parseFrom(fromBinary(text));
    if (address === null) return;
    taken++;
    expect(formatAddress(address).toLowerCase()).toBe(await mailparserFrom(text));
  });
  await fc.assert(property, { seed: SEED, numRuns: RUNS });
  expect(taken).toBeGreaterThan(RUNS / 50);
});

it("takes every ordinary From", async () => {
  const name = fc.oneof(
    fc.constant(""),
    fc.stringMatching(/^[A-Za-z][A-Za-z0-9 .]{0,20}$/),
    fc.stringMatching(/^"[A-Za-z0-9 ,.@;:<>()]{1,20}"$/),
    fc.constantFrom("=?utf-8?q?Al=C3=AFce?=", "=?utf-8?b?QWxpY2U=?= =?utf-8?b?Qg==?="),
  );
  const address = fc.stringMatching(/^[a-z0-9][a-z0-9._+-]{0,20}@[a-z0-9]{1,10}\.[a-z]{2,5}$/);
  const property = fc.asyncProperty(
    name,
    address,
    fc.constantFrom(" ", "\n ", ""),
    async (who, where, space) => {
      const parsed = parseFrom(`${who}${who === "" ? "" : space}<${where}>`);
      expect(parsed && formatAddress(parsed)).toBe(where);
    },
  );
  await fc.assert(property, { seed: SEED });
});
