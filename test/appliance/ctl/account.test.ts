/** What the operator does to accounts, beside the real account service; Dovecot's part is shown in test/relay. */
import { createServer } from "node:http";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, describe, expect, it } from "vitest";
import { canaryAddress } from "../../../appliance/canary.ts";
import { askControlLines } from "../../../appliance/ctl/control-client.ts";
import { listenSocket } from "../../../services/lib/listen.ts";
import { useCtl } from "./running-ctl.ts";

const user = "abc123xyz@chat.example.org";
/** 2027-01-15. */
const today = 1_799_971_200;

describe("homing-ctl account", () => {
  const at = useCtl();
  let ran: string[];
  /** Dovecot's answers: nobody is logged in, two small messages. */
  const answers: Readonly<Record<string, string>> = {
    "doveadm kick": "0 connections kicked\n",
    "doveadm who": "[]",
    "doveadm quota": JSON.stringify([
      { root: "User quota", type: "STORAGE", value: "1500", limit: "488282", percent: "0" },
      { root: "User quota", type: "MESSAGE", value: "2", limit: "122071", percent: "0" },
    ]),
  };
  beforeEach(async () => {
    ran = [];
    at.io = {
      run: async (program, args) => {
        ran.push([program, ...args].join(" "));
        const verb = args.find((arg) => /^(kick|who|quota)$/.test(arg));
        const stdout = answers[`${program} ${verb}`];
        return { code: stdout === undefined ? 1 : 0, stdout: stdout ?? "", stderr: "" };
      },
    };
    await at.store.create(user, "hash", today + 123);
  });

  const noteLogins = (...logins: [string, number][]): void => {
    using database = new DatabaseSync(join(at.folder, "metadata.sqlite"));
    database.exec("CREATE TABLE last_logins (address TEXT PRIMARY KEY NOT NULL, day INTEGER NOT NULL)");
    for (const login of logins) database.prepare("INSERT INTO last_logins VALUES (?, ?)").run(...login);
  };

  it("lists ten thousand, each with its days and its state", async () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `user${`${i}`.padStart(5, "0")}@chat.example.org`);
    await Promise.all(names.map((name) => at.store.create(name, "hash", today)));
    await at.store.setState(names[9_998]!, "blocked");
    noteLogins([names[9_999]!, today + 86_400]);
    const { code, stdout } = await at.run("account", "list");
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split("\n");
    expect(lines).toHaveLength(10_002);
    expect(lines.slice(-2)).toEqual([
      `2027-01-15  never       blocked  ${names[9_998]}`,
      `2027-01-15  2027-01-16  active   ${names[9_999]}`,
    ]);
    const json = (await at.run("account", "list", "--json")).stdout.trimEnd().split("\n");
    expect(json).toHaveLength(10_001);
    expect(JSON.parse(json[10_000]!)).toEqual({
      address: names[9_999],
      createdDay: today,
      lastLoginDay: today + 86_400,
      state: "active",
    });
  });

  it("shows one, in any case of its letters", async () => {
    const { stdout } = await at.run("account", "show", user.toUpperCase());
    expect(stdout).toContain(`${user}\nState:       active\nMade on:     2027-01-15\nLast login:  never\n`);
    expect(stdout).toContain("2 messages, 1.5 MB");
    expect(JSON.parse((await at.run("account", "show", user, "--json")).stdout)).toEqual({
      address: user,
      createdDay: today,
      lastLoginDay: null,
      state: "active",
      messages: 2,
      bytes: 1_536_000,
      sessions: 0,
    });
  });

  it("blocks before it ends sessions, and says so when some do not end", async () => {
    const run = at.io.run!;
    const runAs = (other: typeof run) => {
      at.io = { ...at.io, run: other };
    };
    runAs(async (program, args) => {
      if (args.includes("kick")) expect(at.store.findState(user)).toBe("blocked");
      return run(program, args);
    });
    expect((await at.run("account", "block", user)).code).toBe(0);
    expect(ran).toContain(`doveadm kick -- ${user}`);
    runAs(async (program, args) =>
      args.includes("who")
        ? { code: 0, stdout: JSON.stringify([{ username: user }]), stderr: "" }
        : run(program, args),
    );
    const { code, stderr } = await at.run("account", "block", user);
    expect(code).toBe(1);
    expect(stderr).toContain("still open");
    expect(at.store.findState(user)).toBe("blocked");
  });

  it("knows an address that begins with a hyphen from an option", async () => {
    const hyphen = "-abcdefgh@chat.example.org";
    await at.store.create(hyphen, "hash", today);
    expect((await at.run("account", "block", "--", hyphen)).code).toBe(0);
    expect(at.store.findState(hyphen)).toBe("blocked");
    expect(ran).toEqual(
      expect.arrayContaining([`doveadm kick -- ${hyphen}`, `doveadm -f json who -1 -- ${hyphen}`]),
    );
    expect((await at.run("account", "show", "--", hyphen)).stdout).toContain(
      `${hyphen}\nState:       blocked`,
    );
    expect((await at.run("account", "show", hyphen)).code).toBe(2);
  });

  it("deletes only after a yes, and says that the mail is still there while it is", async () => {
    const refused = await at.run("account", "delete", user);
    expect(refused).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining("nothing was deleted"),
    });
    expect(refused.stderr).toContain("2 messages, 1.5 MB");
    expect(at.store.findState(user)).toBe("active");
    const late = await at.run("account", "delete", user, "--yes", "--json");
    expect(late.code).toBe(1);
    expect(JSON.parse(late.stdout)).toEqual({ address: user, state: "leaving" });
    expect(late.stderr).toContain("not deleted yet");
    expect((await at.run("account", "unblock", user)).stderr).toContain("is being deleted");
    // The reaper's part.
    const run = at.io.run!;
    at.io = {
      ...at.io,
      run: async (program, args) => {
        if (program !== "systemctl") return run(program, args);
        await at.store.forget(user);
        return { code: 0, stdout: "", stderr: "" };
      },
    };
    expect(await at.run("account", "delete", user, "--yes")).toEqual({
      code: 0,
      stdout: `${user} is deleted.\n`,
      stderr: "",
    });
    expect((await at.run("account", "show", user)).stderr).toContain(`there is no account ${user}`);
  });

  it.each([
    [["account"], 2, "say list, show"],
    [["account", "remove", user], 2, "there is no “remove”"],
    [["account", "block"], 2, "block needs an address"],
    [["account", "block", user, "other@chat.example.org"], 2, "one account at a time"],
    [["account", "list", user], 2, "too many arguments"],
    [["account", "block", user, "--yes"], 2, "--yes is for delete"],
    [["account", "block", "abc123xyz@other.example"], 1, "accounts here are called NAME@chat.example.org"],
    [["account", "block", "abc123xyy@chat.example.org"], 1, "there is no account"],
    [["account", "block", "../../sign-up"], 1, "accounts here are called"],
  ])("refuses %j, and changes nothing", async (args, expected, why) => {
    const { code, stdout, stderr } = await at.run(...args);
    expect([code, stdout]).toEqual([expected, ""]);
    expect(stderr).toContain(why);
    expect(at.store.findState(user)).toBe("active");
    expect(ran).toEqual([]);
  });

  it.each([["block"], ["delete", "--yes"]])("does not %s the canary", async (verb, ...options) => {
    const canary = canaryAddress("abc123xyz", "chat.example.org");
    await at.store.create(canary, "hash", today);
    const { code, stdout, stderr } = await at.run("account", verb, canary, ...options);
    expect([code, stdout, ran]).toEqual([1, "", []]);
    expect(stderr).toContain("is the relay's own");
    expect(at.store.findState(canary)).toBe("active");
  });

  it("says so when a list breaks off", async () => {
    const socket = join(at.folder, "broken.sock");
    const listed = { address: user, createdDay: today, state: "active" };
    const broken = createServer((_request, response) => {
      response.write(`${JSON.stringify(listed)}\n`, () => response.destroy());
    });
    await listenSocket(broken, { name: "control", path: socket });
    try {
      at.io = { ...at.io, askLines: askControlLines(socket) };
      const { code, stdout, stderr } = await at.run("account", "list");
      expect([code, stdout.split("\n").length]).toEqual([1, 3]);
      expect(stderr).toMatch(/^homing-ctl: the list breaks off: see /);
    } finally {
      broken.close();
    }
  });
});
