/** What ./homing vm shows of the relay's own page (installer/vm/relay-page.ts). */
import { describe, expect, it } from "vitest";
import type { Status } from "../../../appliance/life/judgement.ts";
import { homeLines, statusPage } from "../../../appliance/life/status.ts";
import { signUpModes } from "../../../appliance/sign-up-modes.ts";
import { isOfUse, signUpOf } from "../../../installer/vm/relay-page.ts";

/** As in QEMU, with something to tell that has nothing to do with the way there. */
const page = (domain: string, signUp: NonNullable<Status["relay"]>["signUp"]) => {
  const seen = { room: "no-sign-up", readOnly: false, repaired: false, canaryOld: false } as const;
  const addresses = ["10.0.2.15", "fec0::5054:ff:fe12:3456"];
  const { lines } = statusPage({ ...seen, relay: { domain, signUp }, units: [], addresses });
  return [...lines, ...homeLines(addresses, "12345678")];
};

describe.each(["chat.example.org", "_try.test"])("of the page of %s", (domain) => {
  it.each(signUpModes)(
    "nothing is shown of addresses inside QEMU and of steps that end there (%s)",
    (mode) => {
      const shown = page(domain, mode).filter(isOfUse);
      expect(shown).toEqual([
        expect.stringMatching(`^homing: ready, relay ${domain}, `),
        "homing: all services run",
        "homing: the disk is nearly full: no new accounts until there is more room",
      ]);
    },
  );

  it.each(signUpModes)("who may make an account is read (%s)", (mode) => {
    expect(page(domain, mode).flatMap((line) => signUpOf(line) ?? [])).toEqual([mode]);
  });
});

describe("of the console", () => {
  it("the relay's lines are shown, and nobody else's", () => {
    expect(isOfUse("homing: formatting the data partition /dev/vda4 (3070 MiB)")).toBe(true);
    expect(isOfUse("homing: NOT READY, version 1")).toBe(true);
    expect(isOfUse("BdsDxe: loading Boot0001")).toBe(false);
  });
});
