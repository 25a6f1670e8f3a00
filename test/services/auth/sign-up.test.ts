/** Accounts with invented names: modes, invitations, limits and proofs, on a real account list. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { createAccounts } from "../../../services/auth/accounts.ts";
import { createProofs } from "../../../services/auth/proof-of-work.ts";
import { createSignUp, type SignUp, type SignUpVerdict } from "../../../services/auth/sign-up.ts";
import { createSignUpLimits } from "../../../services/auth/sign-up-limits.ts";
import { createSignUpMode } from "../../../services/auth/sign-up-mode.ts";
import { type AccountStore, openAccountStore } from "../../../services/auth/store.ts";
import { createLog } from "../../../services/lib/log.ts";
import { solvePuzzle } from "./solve-puzzle.ts";

const start = 1_800_000_000;
const plenty = {
  loadAverage: 0,
  availableMemoryBytes: 1e9,
  freeDiskBytes: 1e10,
  diskBytes: 2e10,
  freeFiles: 1e6,
};
const silent = createLog(() => {});
const writerProgram = new URL("../../../services/auth/store-writer.ts", import.meta.url);
const home = "192.0.2.1";
/** Few, for the puzzle itself is the matter of proof-of-work.test.ts. */
const puzzleBits = 4;

describe("sign-up", () => {
  let folder: string;
  let store: AccountStore;
  let now: number;
  let steady: number;
  let counted: string[];
  const open = () => openAccountStore({ path: join(folder, "accounts.sqlite"), writerProgram, log: silent });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "homing-sign-up-"));
    store = open();
    now = start;
    steady = 0;
    counted = [];
  });
  afterEach(async () => {
    await store.close();
    await rm(folder, { recursive: true });
  });

  const create = async (more = "", state = plenty) => {
    const config = parseRelayConfig(`domain = "chat.example.org"\n${more}`, "relay.toml");
    const mode = await createSignUpMode({ store, settings: config.signUp.mode, log: silent });
    const rules = {
      config,
      store,
      mode: mode.current,
      limits: createSignUpLimits(config.signUp, () => steady),
      machineState: async () => state,
      now: () => now,
      log: silent,
      count: (way: string, outcome: string) => counted.push(`${way} ${outcome}`),
    };
    const signUp = createSignUp({ ...rules, proofs: createProofs(() => now, puzzleBits) });
    return { signUp, mode, accounts: createAccounts(rules) };
  };
  const ask = (signUp: SignUp, more: { client?: string; invitation?: string; proof?: string } = {}) =>
    signUp.make({ client: home, invitation: "", proof: "", ...more });
  /** What came of it, in one word. */
  const said = (verdict: SignUpVerdict): string => (verdict.kind === "made" ? "made" : verdict.refusal);
  const invite = (wanted: { uses?: number; expires?: number | null } = {}) =>
    store.invites.create({ uses: 1, expires: null, note: "", ...wanted }, now);
  const inviteOnly = '[sign_up]\nmode = "invite"\n';

  it("makes an account that can log in at once, and is on disk", async () => {
    const { signUp } = await create();
    const verdict = await ask(signUp);
    if (verdict.kind !== "made") throw new Error(said(verdict));
    expect(verdict.address).toMatch(/^[a-z0-9]{9}@chat\.example\.org$/);
    expect(verdict.password).toMatch(/^[A-Za-z0-9_-]{43}$/);
    await store.close();
    store = open();
    expect(store.findPassword(verdict.address)).toMatch(/^\$hmac-sha256\$/);
    const { accounts } = await create();
    const login = { user: verdict.address, password: verdict.password, address: home };
    expect(await accounts.verify(login)).toEqual({ kind: "ok", created: false });
    expect(await accounts.verify({ ...login, password: `${verdict.password}x` })).toEqual({
      kind: "mismatch",
    });
  });

  it("counts what came of each wish, over HTTPS and by a login, and nothing of those who have an account", async () => {
    const { signUp, mode, accounts } = await create();
    const login = { user: "my-name-1@chat.example.org", password: "long-password", address: home };
    for (let i = 0; i < 2; i++) await accounts.verify(login);
    await ask(signUp);
    await mode.choose("closed");
    await ask(signUp);
    await accounts.verify({ ...login, user: "my-name-2@chat.example.org" });
    expect(counted).toEqual(["login made", "web made", "web sign-up-closed", "login sign-up-closed"]);
  });

  it("makes names of the length that is set, none of a role, and says when none is free", async () => {
    const { signUp } = await create("[accounts]\nlocal_part_min_length = 1\nlocal_part_max_length = 1\n");
    const outcomes = new Map<string, number>();
    for (let i = 0; i < 90; i++) {
      const outcome = said(await ask(signUp));
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    expect(store.count()).toBe(outcomes.get("made"));
    expect(store.count()).toBeGreaterThan(25);
    expect(store.count()).toBeLessThanOrEqual(36);
    expect(outcomes.get("no-free-name")).toBeGreaterThan(0);
  });

  describe("by invitation", () => {
    it("takes an invitation as often as it may be used, however many ask at once", async () => {
      const { signUp } = await create(inviteOnly);
      for (const uses of [1, 7]) {
        const { token } = (await invite({ uses }))!;
        const before = store.count();
        const verdicts = await Promise.all(
          Array.from({ length: 300 }, () => ask(signUp, { invitation: token })),
        );
        const made = verdicts.filter(({ kind }) => kind === "made");
        expect(made).toHaveLength(uses);
        expect(store.count()).toBe(before + uses);
        expect(new Set(verdicts.map(said))).toEqual(new Set(["made", "invitation-used-up"]));
        expect(store.invites.find(token, now)).toBe("used-up");
      }
    });

    it("takes a last use once also between two processes on one file", async () => {
      const other = open();
      try {
        for (let i = 0; i < 20; i++) {
          const { token } = (await invite())!;
          const { signUp: first } = await create(inviteOnly);
          const mine = store;
          store = other;
          const { signUp: second } = await create(inviteOnly);
          store = mine;
          const verdicts = await Promise.all(
            [first, second].map((signUp) => ask(signUp, { invitation: token })),
          );
          expect(verdicts.map(said).sort()).toEqual(["invitation-used-up", "made"]);
        }
        expect(store.count()).toBe(20);
      } finally {
        await other.close();
      }
    });

    it("says what is wrong with an invitation, and makes nothing", async () => {
      const { signUp } = await create(inviteOnly);
      const expiring = (await invite({ expires: start + 60 }))!;
      const revoked = (await invite())!;
      expect(await store.invites.revoke(revoked.id)).toBe(true);
      expect(await store.invites.revoke(revoked.id)).toBe(false);
      now += 60;
      expect(said(await ask(signUp))).toBe("invitation-needed");
      expect(said(await ask(signUp, { invitation: expiring.token }))).toBe("invitation-expired");
      expect(said(await ask(signUp, { invitation: revoked.token }))).toBe("invitation-unknown");
      for (const text of ["x", "a".repeat(24), "'; DROP TABLE invites; --", "\0", "a".repeat(8_000)])
        expect(said(await ask(signUp, { invitation: text }))).toBe("invitation-unknown");
      expect(store.count()).toBe(0);
      expect(signUp.findInvitation(expiring.token)).toEqual({ mode: "invite", state: "expired" });
    });

    it("keeps an invitation when the machine takes no account", async () => {
      const { token } = (await invite())!;
      const { signUp } = await create(inviteOnly, { ...plenty, freeDiskBytes: 1e8 });
      expect(await ask(signUp, { invitation: token })).toEqual({
        kind: "refused",
        refusal: "disk-too-full",
        retrySeconds: 60,
      });
      expect(store.invites.find(token, now)).toBe("good");
    });

    it("lists what was made, without tokens, which nobody finds in the file either", async () => {
      const first = (await store.invites.create({ uses: 3, expires: start + 9, note: "Für Ada" }, start))!;
      const { token, ...listed } = first;
      const { signUp } = await create(inviteOnly);
      await ask(signUp, { invitation: token });
      expect(store.invites.list()).toEqual([{ ...listed, usesLeft: 2 }]);
      expect(listed).toEqual({
        id: 1,
        uses: 3,
        usesLeft: 3,
        expires: start + 9,
        note: "Für Ada",
        created: start,
      });
      expect(JSON.stringify(store.invites.list())).not.toContain(token);
    });

    it("keeps ten thousand, and then makes room by those that nobody can use any more", async () => {
      const { signUp } = await create(inviteOnly);
      const { token } = (await invite({ expires: start + 60 }))!;
      await Promise.all(Array.from({ length: 9_999 }, () => invite()));
      expect(await invite()).toBeUndefined();
      expect(said(await ask(signUp, { invitation: token }))).toBe("made");
      expect(await invite()).toMatchObject({ id: 10_001, usesLeft: 1 });
      expect(await invite()).toBeUndefined();
      expect(signUp.findInvitation(token).state).toBe("unknown");
    });

    describe("whose answer was lost", () => {
      const madeOf = (verdict: SignUpVerdict) => {
        if (verdict.kind !== "made") throw new Error(said(verdict));
        return { user: verdict.address, password: verdict.password, address: home };
      };
      const wrong = { kind: "mismatch" };
      const right = { kind: "ok", created: false };

      it("gives the account again in the same network, under a new password, also after a restart", async () => {
        const { token } = (await invite())!;
        const { signUp } = await create(inviteOnly);
        const lost = madeOf(await ask(signUp, { invitation: token }));
        // A second tap takes nothing from the first.
        expect(said(await ask(signUp, { invitation: token }))).toBe("invitation-used-up");
        await store.close();
        store = open();
        now += 10;
        const again = await create(inviteOnly);
        expect(again.signUp.findInvitation(token, "192.0.2.77").state).toBe("used-up");
        expect(said(await ask(again.signUp, { invitation: token, client: "192.0.2.77" }))).toBe(
          "invitation-used-up",
        );
        expect(again.signUp.findInvitation(token, home).state).toBe("good");
        const heard = madeOf(await ask(again.signUp, { invitation: token }));
        expect(heard.user).toBe(lost.user);
        expect(store.count()).toBe(1);
        expect(await again.accounts.verify(lost)).toEqual(wrong);
        // IMAP and SMTP at the same time.
        expect(await Promise.all([heard, heard].map(again.accounts.verify))).toEqual([right, right]);
        now += 86_400;
        expect(said(await ask(again.signUp, { invitation: token }))).toBe("invitation-used-up");
        expect(await again.accounts.verify(heard)).toEqual(right);
      });

      it("gives it anywhere after an hour, and one of many only then", async () => {
        const { token } = (await invite({ uses: 2 }))!;
        const { signUp, accounts } = await create(inviteOnly);
        const used = madeOf(await ask(signUp, { invitation: token }));
        expect(await accounts.verify(used)).toEqual(right);
        const lost = madeOf(await ask(signUp, { invitation: token }));
        now += 3_599;
        expect(said(await ask(signUp, { invitation: token }))).toBe("invitation-used-up");
        now += 1;
        const heard = madeOf(await ask(signUp, { invitation: token, client: "192.0.2.77" }));
        expect(heard.user).toBe(lost.user);
        expect(await accounts.verify(heard)).toEqual(right);
        expect(said(await ask(signUp, { invitation: token }))).toBe("invitation-used-up");
        expect(await accounts.verify(used)).toEqual(right);
      });

      it("gives it to one of those who ask at once", async () => {
        const { token } = (await invite())!;
        const { signUp } = await create(inviteOnly);
        await ask(signUp, { invitation: token });
        now += 10;
        const verdicts = await Promise.all(
          Array.from({ length: 50 }, () => ask(signUp, { invitation: token })),
        );
        expect(verdicts.map(said).filter((word) => word === "made")).toHaveLength(1);
        expect(store.count()).toBe(1);
      });

      it("lets nobody in as long as the list cannot note whose it is, for the next to ask would get it", async () => {
        const { token } = (await invite())!;
        const { signUp, accounts } = await create(inviteOnly);
        const first = madeOf(await ask(signUp, { invitation: token }));
        using list = new DatabaseSync(join(folder, "accounts.sqlite"));
        list.exec(`CREATE TRIGGER failing BEFORE DELETE ON unused_accounts
          BEGIN SELECT RAISE(ABORT, 'the disk fails'); END`);
        await expect(accounts.verify(first)).rejects.toThrow("the disk fails");
        now += 10;
        const second = madeOf(await ask(signUp, { invitation: token }));
        list.exec("DROP TRIGGER failing");
        expect(second.user).toBe(first.user);
        expect(await accounts.verify(first)).toEqual(wrong);
        expect(await accounts.verify(second)).toEqual(right);
        now += 86_400;
        expect(said(await ask(signUp, { invitation: token }))).toBe("invitation-used-up");
        expect(await accounts.verify(second)).toEqual(right);
      });

      it("gives nothing for an invitation that was withdrawn or has expired", async () => {
        const { signUp } = await create(inviteOnly);
        const expiring = (await invite({ expires: start + 60 }))!;
        const revoked = (await invite())!;
        for (const { token } of [expiring, revoked]) await ask(signUp, { invitation: token });
        await store.invites.revoke(revoked.id);
        now += 4_000;
        expect(said(await ask(signUp, { invitation: expiring.token }))).toBe("invitation-used-up");
        expect(said(await ask(signUp, { invitation: revoked.token }))).toBe("invitation-unknown");
      });
    });

    it("makes no account at a login, and lets those who have one in", async () => {
      const open = await create();
      const verdict = await ask(open.signUp);
      if (verdict.kind !== "made") throw new Error(said(verdict));
      for (const mode of ["invite", "closed"] as const) {
        await open.mode.choose(mode);
        expect(
          await open.accounts.verify({
            user: "stranger1@chat.example.org",
            password: "long-password",
            address: home,
          }),
        ).toEqual({
          kind: "refused",
          refusal: mode === "invite" ? "invitation-needed" : "sign-up-closed",
        });
        expect(
          await open.accounts.verify({ user: verdict.address, password: verdict.password, address: home }),
        ).toEqual({ kind: "ok", created: false });
      }
      const { token } = (await invite())!;
      expect(said(await ask(open.signUp, { invitation: token }))).toBe("sign-up-closed");
      expect(store.count()).toBe(1);
    });
  });

  describe("mode", () => {
    it("is what relay.toml says until the operator chooses, over restarts, until relay.toml changes", async () => {
      const first = await create();
      expect(first.mode.current()).toBe("open");
      await first.mode.choose("closed");
      expect(said(await ask(first.signUp))).toBe("sign-up-closed");
      await store.close();
      store = open();
      expect((await create()).mode.current()).toBe("closed");
      expect((await create(inviteOnly)).mode.current()).toBe("invite");
      // What relay.toml overtook does not come back with its old value.
      expect((await create()).mode.current()).toBe("open");
    });

    it("can be chosen to be what relay.toml says, which keeps nothing", async () => {
      const { mode } = await create(inviteOnly);
      await mode.choose("open");
      await mode.choose("invite");
      expect(store.readModeChoice()).toBeUndefined();
      expect((await create('[sign_up]\nmode = "closed"\n')).mode.current()).toBe("closed");
    });
  });

  describe("in a flood", () => {
    const few = "[sign_up]\nrelay_burst = 3\nrelay_per_hour = 60\nnetwork_burst = 2\nnetwork_per_hour = 1\n";

    it("says when to come back, and lets in whoever solves a puzzle, once", async () => {
      const { signUp } = await create(few);
      expect(signUp.welcome(home)).toEqual({ mode: "open" });
      for (const client of ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
        expect(said(await ask(signUp, { client }))).toBe("made");
      const refused = { kind: "refused", refusal: "too-many-new-accounts", retrySeconds: 60 };
      expect(await ask(signUp)).toEqual(refused);
      const { puzzle, ...rest } = signUp.welcome(home);
      expect(rest).toEqual({ mode: "open", retrySeconds: 60 });
      const proof = solvePuzzle(puzzle!);
      expect(said(await ask(signUp, { proof: `${proof}-0` }))).toBe("proof-refused");
      const both = await Promise.all([ask(signUp, { proof }), ask(signUp, { proof })]);
      expect(both.map(said).sort()).toEqual(["made", "proof-refused"]);
      steady += 60_000;
      expect(said(await ask(signUp))).toBe("made");
    });

    it("takes so many proofs of a network and no more, and gives it no puzzle then", async () => {
      const { signUp } = await create(few);
      for (let i = 0; i < 2; i++) expect(said(await ask(signUp))).toBe("made");
      for (let i = 0; i < 2; i++)
        expect(said(await ask(signUp, { proof: solvePuzzle(signUp.welcome(home).puzzle!) }))).toBe("made");
      expect(signUp.welcome(home)).toEqual({ mode: "open", retrySeconds: 3600 });
      expect(signUp.welcome("192.0.2.2")).toEqual({ mode: "open" });
    });

    it("spends a proof on nothing when the network has no part left", async () => {
      const { signUp } = await create(few);
      const puzzles: string[] = [];
      for (let i = 0; i < 2; i++) await ask(signUp);
      for (let i = 0; i < 3; i++) puzzles.push(solvePuzzle(signUp.welcome(home).puzzle!));
      const verdicts: string[] = [];
      for (const proof of puzzles) verdicts.push(said(await ask(signUp, { proof })));
      expect(verdicts).toEqual(["made", "made", "too-many-new-accounts"]);
      steady += 3_600_000;
      await ask(signUp);
      expect(said(await ask(signUp, { proof: puzzles[2]! }))).toBe("made");
    });
  });
});
