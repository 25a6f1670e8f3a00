/** What stays of others' DMARC records when the relay's policy is written (installer/dns/joined-set.ts). */
import { describe, expect, it } from "vitest";
import { txtText } from "../../../appliance/dns/record-set.ts";
import { planChanges } from "../../../installer/dns/plan.ts";
import { desiredOf, set, zone } from "./applied.ts";

const name = `_dmarc.${zone}`;

/** The texts at the name once the plan is done. */
function planned(...texts: string[]): string[] {
  const { changes } = planChanges(desiredOf(zone), zone, [
    set(name, "TXT", ...texts.map((text) => `"${text}"`)),
  ]);
  const after = changes.find((change) => change.after.name === name)?.after;
  return (after?.values ?? []).map(txtText);
}

describe("a DMARC record of the owner's", () => {
  it("keeps what the relay says nothing of: to whom reports go, which, and how often", () => {
    const reports = "rua=mailto:Reports@example.test!10m;ruf=mailto:x@example.test;fo=1;pct=50;sp=none";
    const [text, ...more] = planned(`v=DMARC1; p=none; aspf=r; ${reports.replaceAll(";", "; ")};`);
    expect(text).toBe(`v=DMARC1;p=reject;adkim=s;aspf=s;${reports}`);
    expect(more).toEqual([]);
    expect(planned(text!)).toEqual([]);
  });

  it("becomes one of two, and the relay's where it cannot be read; other texts stay", () => {
    expect(
      planned("v=DMARC1;p=none;rua=mailto:a@b.test", "v=DMARC1;rua=mailto:c@b.test;fo=1", "other"),
    ).toEqual(["other", "v=DMARC1;p=reject;adkim=s;aspf=s;rua=mailto:a@b.test;fo=1"]);
    expect(planned("v=DMARC1;p=none;p=none")).toEqual(["v=DMARC1;p=reject;adkim=s;aspf=s"]);
  });
});
