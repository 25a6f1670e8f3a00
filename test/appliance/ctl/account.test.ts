/** What the operator does to accounts, beside the real account service; Dovecot's part is shown in test/relay. */
import { writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { canaryAddress } from "../../../appliance/canary.ts";
import { askControlLines } from "../../../appliance/ctl/control-client.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { listenSocket } from "../../../services/lib/listen.ts";
import { createLog } from "../../../services/lib/log.ts";
import { createDictionary } from "../../../services/metadata/dictionary.ts";
import { serveSession } from "../../../services/metadata/session.ts";
import { openStoreWithSpare } from "../../../services/metadata/store-with-spare.ts";
import { useCtl } from "./running-ctl.ts";

const user = "abc123xyz@chat.example.org";
const log = createLog(() => {});
/** 2027-01-15. */
const today = 1_799_971_200;

describe("homing-ctl account", () => {
  const at = useCtl();
  let ran: string[];
  let ends: (() => unknown)[];
  /** What waits at Postfix: queue, number and sender. */
  let queue: [string, string, string][];
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
    ends = [];
    queue = [];
    at.io = {
      async *runLines(program, args) {
        expect([program, ...args]).toEqual(["postqueue", "-j"]);
        for (const [queue_name, queue_id, sender] of queue)
          yield JSON.stringify({ queue_name, queue_id, sender, recipients: [] });
      },
      run: async (program, args) => {
        ran.push([program, ...args].join(" "));
        if (program === "postsuper") return { code: 0, stdout: "", stderr: "" };
        const verb = args.find((arg) => /^(kick|who|quota)$/.test(arg));
        const stdout = answers[`${program} ${verb}`];
        return { code: stdout === undefined ? 1 : 0, stdout: stdout ?? "", stderr: "" };
      },
    };
    await at.store.create(user, "hash", today + 123);
  });
  afterEach(() => {
    for (const end of ends) end();
  });

  /** The metadata service's part, with its file in the folder and these logins in it. */
  const serveLogins = async (...logins: [string, number][]): Promise<void> => {
    const store = openStoreWithSpare({
      ...{ path: join(at.folder, "metadata.sqlite"), sparePath: join(at.folder, "spare.sqlite") },
      ...{ keepTokenDays: 90, tell: () => {}, now: () => today, log },
    });
    store.apply(
      logins.map(([address, time]) => ({ kind: "login", address, time })),
      today,
    );
    const config = parseRelayConfig(`domain = "chat.example.org"`, "relay.toml");
    const dictionary = createDictionary({ turn: () => undefined, config, store, now: () => today });
    const server = createServer((socket) => serveSession(socket, { dictionary, log }));
    await listen(server);
    ends.push(() => store.close());
  };
  const listen = async (server: Server): Promise<void> => {
    await listenSocket(server, { name: "metadata", path: join(at.folder, "metadata.sock") });
    ends.push(() => server.close());
  };

  it("lists ten thousand, each with its days and its state", async () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `user${`${i}`.padStart(5, "0")}@chat.example.org`);
    await Promise.all(names.map((name) => at.store.create(name, "hash", today)));
    await at.store.setState(names[9_998]!, "blocked");
    await serveLogins([names[9_999]!, today + 86_400]);
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
    await serveLogins();
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

  describe("whose last logins cannot be read", () => {
    const names = Array.from({ length: 600 }, (_, i) => `user${`${i}`.padStart(5, "0")}@chat.example.org`);
    const list = async (...options: string[]) => {
      const { code, stdout, stderr } = await at.run("account", "list", ...options);
      expect(code).toBe(0);
      return { lines: stdout.trimEnd().split("\n"), stderr };
    };
    const once = (why: string) => new RegExp(`^homing-ctl: not all last logins are known: ${why}[^\n]*\n$`);
    /** A service that says this to whatever it is asked first, and then no more. */
    const say = (text: string) => () =>
      listen(createServer((socket) => socket.on("error", () => {}).once("data", () => socket.end(text))));

    it.each<[string, () => Promise<void>, string]>([
      ["the service is away", async () => {}, "the metadata service cannot be asked .*ENOENT"],
      [
        "its file is no database",
        async () => {
          await writeFile(join(at.folder, "metadata.sqlite"), "x".repeat(9000));
          await serveLogins();
        },
        "the metadata service cannot read; see its log",
      ],
      ["it ends the conversation", say(""), "the metadata service says no more"],
      ["it answers nonsense", say("O1799971200\nO\u001b[2J\nO-1\nN1\n"), "the metadata service says O\ufffd"],
      [
        "it answers days that are none",
        say("O1799971200\nO9999999999999\n"),
        "the metadata service says O9+",
      ],
      ["its answer has no end", say("O1".repeat(5_000)), "the metadata .*its answer has no end"],
    ])("shows accounts, and says once why: %s", async (_what, start, why) => {
      await at.store.create(names[0]!, "hash", today);
      await start();
      const { lines, stderr } = await list();
      expect(lines.slice(1)).toEqual(
        [user, names[0]].map((name) => `2027-01-15  unknown     active   ${name}`),
      );
      expect(stderr).toMatch(once(why));
      const json = await list("--json");
      expect(JSON.parse(json.lines[0]!)).toMatchObject({ address: user, lastLoginDay: null });
      expect(json.stderr).toMatch(once(why));
      const shown = await at.run("account", "show", user);
      expect(shown).toMatchObject({ code: 0, stdout: expect.stringContaining("Last login:  unknown\n") });
      expect(shown.stderr).toMatch(once(why));
      expect(JSON.parse((await at.run("account", "show", user, "--json")).stdout).lastLoginDay).toBeNull();
    });

    it("calls nobody new who is older than the file in which logins are noted", async () => {
      await Promise.all(names.map((name) => at.store.create(name, "hash", 1_500_000_000)));
      await serveLogins([names[599]!, today]);
      const { lines, stderr } = await list();
      expect(lines[1]).toBe(`2027-01-15  never       active   ${user}`);
      const days = Map.groupBy(lines.slice(2), (line) => line.slice(12, 22).trimEnd());
      expect(days.get("unknown")).toHaveLength(599);
      expect(days.get("2027-01-15")).toEqual([`2017-07-14  2027-01-15  active   ${names[599]}`]);
      expect(stderr).toMatch(once("accounts are older than the file in which logins are noted"));
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

  describe("what it sent and still waits in the queue", () => {
    const other = "other1234@chat.example.org";
    const postsuper = () => ran.filter((line) => line.startsWith("postsuper"));
    beforeEach(() => {
      queue = [
        ["deferred", "4first", user],
        ["deferred", "4other", other],
        ["active", "4loud", user.toUpperCase()],
        ["hold", "4held", user],
        ["hold", "4theirs", other],
        // A bounce.
        ["deferred", "4bounce", ""],
      ];
    });

    it("is held back while it is blocked, the others' is not", async () => {
      const run = at.io.run!;
      at.io = {
        ...at.io,
        run: async (program, args) => {
          if (program === "postsuper") {
            queue = queue.filter(([, id]) => !args.includes(id));
            // One that was on its way in when the account was blocked.
            if (args.includes("4first")) queue.push(["incoming", "4late", user]);
          }
          return run(program, args);
        },
      };
      const { code, stdout } = await at.run("account", "block", user);
      expect([code, postsuper()]).toEqual([0, ["postsuper -h 4first -h 4loud", "postsuper -h 4late"]]);
      expect(stdout).toMatch(
        /^Held back in the queue: 3 messages\. That takes room until you unblock or delete it\.\n/,
      );
    });

    it("goes on when it is unblocked", async () => {
      await at.store.setState(user, "blocked");
      const { stdout } = await at.run("account", "unblock", user, "--json");
      expect(JSON.parse(stdout)).toEqual({ address: user, state: "active", released: 1 });
      expect(postsuper()).toEqual(["postsuper -H 4held"]);
    });

    it("goes with the account before its name is free", async () => {
      expect((await at.run("account", "delete", user, "--yes", "--json")).stdout).toContain("leaving");
      expect(ran.slice(-2)).toEqual([
        "postsuper -d 4first -d 4loud -d 4held",
        "systemctl start homing-reaper@leaving.service",
      ]);
    });

    it("is named in pieces that a command line holds", async () => {
      queue = Array.from({ length: 1200 }, (_, i) => ["deferred", `4n${i}`, user]);
      await at.run("account", "delete", user, "--yes");
      expect(postsuper().map((line) => line.split(" -d ").length - 1)).toEqual([500, 500, 200]);
    });

    it("ends sessions also when Postfix does not do so, and says it", async () => {
      const run = at.io.run!;
      at.io = {
        ...at.io,
        run: async (program, args) => {
          const end = await run(program, args);
          return program === "postsuper"
            ? { ...end, code: 1, stderr: "warning: x\npostsuper: fatal: y\n" }
            : end;
        },
      };
      expect(await at.run("account", "block", user)).toEqual({
        code: 1,
        stdout: "",
        stderr: "homing-ctl: messages may still go out: postsuper: fatal: y\n",
      });
      expect(ran).toContain(`doveadm kick -- ${user}`);
    });
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
    await serveLogins();
    const socket = join(at.folder, "broken.sock");
    const listed = { address: user, createdDay: today, state: "active" };
    const broken = createHttpServer((_request, response) => {
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
