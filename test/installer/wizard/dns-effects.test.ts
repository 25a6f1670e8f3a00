/** The wizard's work at providers (installer/wizard/dns-effects.ts), at stand-ins of deSEC; the DNS itself is test/boot's. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FREE_SUFFIX } from "../../../appliance/dns/desec-free.ts";
import { desec } from "../../../appliance/dns/providers/desec.ts";
import { totpCode, totpKey } from "../../../appliance/dns/totp.ts";
import { createRelayFolder } from "../../../installer/relay-folder.ts";
import { noAnswers } from "../../../installer/wizard/answers.ts";
import { dnsEffects } from "../../../installer/wizard/dns-effects.ts";
import { FREE_ENDING, FREE_PROVIDER } from "../../../installer/wizard/free-names.ts";
import { fakeDesec } from "../../support/dns-providers/desec.ts";
import { fakeDesecAccounts } from "../../support/dns-providers/desec-account.ts";
import { runFake } from "../../support/dns-providers/fake-provider.ts";
import { fakeInwx } from "../../support/dns-providers/inwx.ts";
import { fakeNamecom } from "../../support/dns-providers/namecom.ts";

const domain = "chat.rosegarden.net";
const zone = "rosegarden.net";
const follow = { report: () => {}, signal: new AbortController().signal };

let folder: string;
beforeAll(async () => {
  folder = join(await mkdtemp(join(tmpdir(), "homing-wizard-dns-")), domain);
  await createRelayFolder(folder, domain);
});
afterAll(() => rm(join(folder, ".."), { recursive: true }));

/** A zone at deSEC with these records, and the wizard's work there. */
function atDesec(rows: Parameters<typeof fakeDesec>[1] = []) {
  const fake = fakeDesec(zone, rows);
  const { fetch, clock } = runFake(fake);
  const { effects } = dnsEffects({ connect: { fetch, clock } });
  const answers = { ...noAnswers, domain, addresses: ["198.35.26.96"] };
  return {
    fake,
    effects,
    task: { folder, answers, provider: "desec", credentials: fake.credentials, removeParking: false },
  };
}

const backups = async () => (await readdir(folder)).filter((name) => name.startsWith("dns-backup-"));

describe("at a provider", () => {
  it("the plan that was agreed to is carried out, with a back-up before it", async () => {
    const { fake, effects, task } = atDesec();
    const { plan } = await effects.plan({ kind: "plan", ...task }, follow);
    expect(plan.blocked).toBeUndefined();
    expect(plan.changes).toContain(`+ ${domain} A 198.35.26.96`);
    const before = await backups();
    const { findings } = await effects.apply({ kind: "apply", ...task, changes: plan.changes }, follow);
    expect(findings).toMatchObject([{ mark: "note", text: expect.stringContaining("dns-backup-") }]);
    expect((await backups()).length).toBe(before.length + 1);
    expect(fake.rows()).toContainEqual({ name: domain, type: "A", ttl: 3600, value: "198.35.26.96" });
    const again = await effects.plan({ kind: "plan", ...task }, follow);
    expect(again.plan.changes).toEqual([]);
  });

  it("nothing is done when the zone has changed since the plan was shown", async () => {
    const { fake, effects, task } = atDesec();
    const before = fake.rows();
    const shown = [`+ ${domain} A 198.35.26.97`];
    await expect(effects.apply({ kind: "apply", ...task, changes: shown }, follow)).rejects.toThrow(
      "nothing was done",
    );
    expect(fake.rows()).toEqual(before);
  });

  it("a foreign mail server forbids the plan, in words", async () => {
    const foreign = { name: domain, type: "MX", ttl: 3600, value: "10 mx.fleet.net." };
    const { effects, task } = atDesec([foreign]);
    const { plan } = await effects.plan({ kind: "plan", ...task }, follow);
    expect(plan.blocked).toContain("mx.fleet.net");
  });

  it("what the provider cannot keep as it is counts as done in the form that it can keep", async () => {
    const fake = fakeNamecom(zone, []);
    const { fetch, clock } = runFake(fake);
    const { effects } = dnsEffects({ connect: { fetch, clock } });
    const answers = { ...noAnswers, domain, addresses: ["198.35.26.96"] };
    const task = {
      folder,
      answers,
      provider: "namecom",
      credentials: fake.credentials,
      removeParking: false,
    };
    const { plan } = await effects.plan({ kind: "plan", ...task }, follow);
    const { cutOff } = await effects.apply({ kind: "apply", ...task, changes: plan.changes }, follow);
    expect(cutOff).toBeUndefined();
    expect((await effects.plan({ kind: "plan", ...task }, follow)).plan.changes).toEqual([]);
  });

  it("a registrar's parking page is offered to go, and goes with the change", async () => {
    const parked = { name: domain, type: "CNAME", ttl: 3600, value: "pixie.porkbun.com." };
    const { fake, effects, task } = atDesec([parked]);
    const first = await effects.plan({ kind: "plan", ...task }, follow);
    expect(first.plan).toMatchObject({
      blocked: expect.any(String),
      parking: [expect.stringContaining("pixie")],
    });
    const agreed = { ...task, removeParking: true };
    const { plan } = await effects.plan({ kind: "plan", ...agreed }, follow);
    expect(plan).toMatchObject({ blocked: undefined, parking: [] });
    await effects.apply({ kind: "apply", ...agreed, changes: plan.changes }, follow);
    expect(fake.rows().map(({ value }) => value)).not.toContain(parked.value);
  });

  it("a wrong token is told without the token", async () => {
    const { fake, effects, task } = atDesec();
    const credentials = fake.wrongCredentials;
    const asked = effects.plan({ kind: "plan", ...task, credentials }, follow);
    await expect(asked).rejects.toThrow("the token is wrong");
    await expect(asked).rejects.not.toThrow(credentials.token);
  });

  it("the records are printed whole, with the address", async () => {
    const { effects, task } = atDesec();
    const { text } = await effects.records({ kind: "records", ...task }, follow);
    expect(text).toMatch(new RegExp(`^${domain}\\. +3600 IN A +198\\.35\\.26\\.96$`, "m"));
    expect(text).toContain("homing1._domainkey");
  });
});

describe("a change that is cut off", () => {
  /** INWX makes one record a request; its second factor is six digits that count once. */
  function atInwx(faultOf?: Parameters<typeof runFake>[1]) {
    const now = Date.UTC(2026, 0, 1);
    const fake = fakeInwx(zone, [{ name: `www.${zone}`, type: "A", ttl: 3600, value: "198.35.26.97" }], {
      now: () => now,
    });
    const run = runFake(fake, faultOf);
    const clock = { ...run.clock, now: () => now };
    const { effects } = dnsEffects({ connect: { fetch: run.fetch, clock } });
    const totp = totpCode(totpKey(fake.credentials.totp!)!, now);
    const answers = { ...noAnswers, domain, addresses: ["198.35.26.96"] };
    return {
      ...{ fake, effects, run },
      task: {
        folder,
        answers,
        provider: "inwx",
        credentials: { ...fake.credentials, totp },
        removeParking: false,
      },
    };
  }
  const isCreate = ({ body }: { body: unknown }) =>
    (body as { method: string }).method === "nameserver.createRecord";

  it("says what was written and what not, is taken back, and is then made whole in one login", async () => {
    let made = 0;
    const { fake, effects, task } = atInwx((_, request) =>
      isCreate(request) && ++made === 4 ? "refused" : undefined,
    );
    const before = fake.rows();
    const { plan } = await effects.plan({ kind: "plan", ...task }, follow);
    const { cutOff } = await effects.apply({ kind: "apply", ...task, changes: plan.changes }, follow);
    expect(cutOff).toMatchObject({ isKnown: true, backup: expect.stringContaining("dns-backup-") });
    expect(cutOff!.why).toContain("INWX did not");
    expect(cutOff!.written.length).toBe(3);
    expect(cutOff!.missing.length).toBeGreaterThan(3);
    expect(fake.rows().length).toBe(before.length + 3);
    const { backup } = cutOff!;
    const { findings } = await effects.undo({ kind: "undo", ...task, backup }, follow);
    expect(findings[0]!.text).toContain("3 record sets");
    expect(fake.rows()).toEqual(before);

    const again = await effects.plan({ kind: "plan", ...task }, follow);
    const whole = await effects.apply({ kind: "apply", ...task, changes: again.plan.changes }, follow);
    expect(whole.cutOff).toBeUndefined();
    expect(whole.awaited).toContainEqual({ name: domain, type: "A" });
    expect(fake.logins()).toBe(1);
  });

  it("says that nothing is known where the provider answers no more", async () => {
    let made = 0;
    const { effects, task } = atInwx((_, request) => {
      if (isCreate(request)) made++;
      return made > 1 ? "refused" : undefined;
    });
    const { plan } = await effects.plan({ kind: "plan", ...task }, follow);
    const { cutOff } = await effects.apply({ kind: "apply", ...task, changes: plan.changes }, follow);
    expect(cutOff).toMatchObject({ isKnown: false, written: [] });
    expect(cutOff!.missing.length).toBeGreaterThan(3);
  });

  it("by the person ends between two records, with the one on its way answered", async () => {
    const stop = new AbortController();
    let made = 0;
    const { fake, effects, task } = atInwx((_, request) => {
      if (isCreate(request) && ++made === 2) stop.abort();
      return undefined;
    });
    const { plan } = await effects.plan({ kind: "plan", ...task }, follow);
    const stopped = { ...follow, signal: stop.signal };
    const { cutOff } = await effects.apply({ kind: "apply", ...task, changes: plan.changes }, stopped);
    expect(cutOff).toMatchObject({ why: "You stopped it.", isKnown: true });
    expect(cutOff!.written.length).toBe(2);
    expect(made).toBe(2);
    expect(fake.logins()).toBe(1);
  });

  it("is an error and no more where nothing was written yet", async () => {
    const stop = new AbortController();
    const { effects, task } = atInwx();
    const { plan } = await effects.plan({ kind: "plan", ...task }, follow);
    stop.abort();
    const asked = effects.apply(
      { kind: "apply", ...task, changes: plan.changes },
      { ...follow, signal: stop.signal },
    );
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
  });
});

describe("a free name", () => {
  it("is one of the provider that gives them away", () => {
    expect(FREE_ENDING).toBe(`.${FREE_SUFFIX}`);
    expect(FREE_PROVIDER).toBe(desec.id);
  });

  it("is asked for, and its token comes once the letter's link was opened", async () => {
    const name = `wren${FREE_ENDING}`;
    const fake = fakeDesecAccounts(name);
    const { fetch, clock } = runFake(fake);
    const { effects } = dnsEffects({ connect: { fetch, clock } });
    const wish = { domain: name, email: "me@rosegarden.net", password: "correct horse" };
    await effects.register({ kind: "register", ...wish }, follow);
    await expect(effects.login({ kind: "login", ...wish }, follow)).rejects.toThrow("not followed yet");
    fake.followLink(wish.email);
    const { provider, credentials } = await effects.login({ kind: "login", ...wish }, follow);
    expect(provider).toBe("desec");
    expect(fake.secrets()).toEqual([credentials.token]);
  });
});
