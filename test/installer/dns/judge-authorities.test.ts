/** What CAA records let the relay's authority do (installer/dns/judge-authorities.ts), without any server. */
import { describe, expect, it } from "vitest";
import { relayRecords } from "../../../appliance/dns/records.ts";
import { judge } from "../../../installer/dns/judge.ts";
import type { Verdict } from "../../../installer/dns/verdict.ts";
import type { Lookup } from "../../../installer/dns/views.ts";
import { type Challenge, wantedOf } from "../../../installer/dns/wanted.ts";

const domain = "chat.a.test";
const ours = "https://ca.test/1";

function judged(
  issuers: readonly string[],
  known: Readonly<{ accountUri?: string; challenge?: Challenge }>,
  at = domain,
): Verdict {
  const { challenge, ...account } = known;
  const records = relayRecords({ domain, dkim: [], addresses: ["11.22.33.44"], ...account });
  const wanted = wantedOf({ domain, records }).find(({ type }) => type === "CAA");
  const values = issuers.map((value) => ({ type: "CAA", flags: 0, tag: "issue", value }) as const);
  const lookups = new Map<string, Lookup>(
    [domain, "a.test"].map((name) => [`${name} CAA`, { kind: "none" }]),
  );
  lookups.set(`${at} CAA`, { kind: "values", values });
  const about = { domain, zone: "a.test", addresses: [], nobodies: [], isKnown: true, challenge };
  return judge(wanted!, lookups, about);
}

const bound = `letsencrypt.org; accounturi=${ours}`;
const foreign = "letsencrypt.org; accounturi=https://ca.test/2";

describe("records that say who may issue", () => {
  it("for an account while the relay's is not known are worth a look", () => {
    const verdict = judged([bound], {});
    expect(verdict).toMatchObject({ state: "ok", warning: true });
    expect(verdict.reason).toContain(ours);
    // One without an account is enough for all of them.
    expect(judged([bound, "letsencrypt.org"], {})).toMatchObject({ state: "ok", reason: "" });
  });

  it("for an account are compared with the relay's where that is known", () => {
    const known = { accountUri: ours };
    expect(judged([bound], known)).toMatchObject({ state: "ok", reason: "" });
    expect(judged([foreign], known)).toMatchObject({ state: "conflicts", grave: true });
    expect(judged([foreign, bound], known)).toMatchObject({ state: "differs" });
    expect(judged(["letsencrypt.org"], known)).toMatchObject({ state: "differs" });
  });

  it.each<[issuers: string[], challenge: Challenge | undefined, state: Verdict["state"]]>([
    [["letsencrypt.org; validationmethods=dns-01"], "http-01", "conflicts"],
    [["letsencrypt.org; validationmethods=dns-01"], "dns-01", "ok"],
    [["letsencrypt.org; ValidationMethods = tls-alpn-01, http-01"], "http-01", "ok"],
    [["letsencrypt.org; validationmethods="], "http-01", "conflicts"],
    [["letsencrypt.org; validationmethods=dns-01"], undefined, "ok"],
    [["letsencrypt.org; validationmethods=tls-alpn-01"], undefined, "conflicts"],
    [["letsencrypt.org; validationmethods=dns-01", "letsencrypt.org"], "http-01", "ok"],
  ])("%j let a relay with %s have a certificate: %s", (issuers, challenge, state) => {
    const verdict = judged(issuers, challenge === undefined ? {} : { challenge });
    expect(verdict.state).toBe(state);
    expect(verdict.grave === true).toBe(state === "conflicts");
  });

  it("bind by account and proof of one record together", () => {
    const issuers = [`${bound}; validationmethods=dns-01`, `${foreign}; validationmethods=http-01`];
    const known = { accountUri: ours, challenge: "http-01" } as const;
    expect(judged(issuers, known)).toMatchObject({ state: "conflicts", grave: true });
  });

  it("above the domain count as its own do", () => {
    const known = { accountUri: ours, challenge: "http-01" } as const;
    for (const above of [foreign, "letsencrypt.org; validationmethods=dns-01"]) {
      const verdict = judged([above], known, "a.test");
      expect(verdict).toMatchObject({
        state: "conflicts",
        mend: expect.stringMatching(/^Add a record chat/),
      });
      expect(verdict.reason).toMatch(/^a\.test allows/);
    }
    expect(judged([bound], known, "a.test").state).toBe("missing");
  });
});
