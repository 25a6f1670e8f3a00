import { describe, expect, it } from "vitest";
import type { Status } from "../../../appliance/life/judgement.ts";
import { homeLines, readState, statusPage } from "../../../appliance/life/status.ts";

const units = [
  { unit: "postfix.service", state: "active" },
  { unit: "dovecot.service", state: "active" },
];
const fine: Status = {
  relay: { domain: "chat.example.org", signUp: "open" },
  units,
  addresses: ["192.0.2.5", "2001:db8::5"],
  room: "enough",
  readOnly: false,
  repaired: false,
  canaryOld: false,
};
const { relay: _relay, ...noRelay } = fine;
const pageOf = (change: Partial<Status>) => statusPage({ ...fine, ...change });

describe("the status page", () => {
  it("says that the relay is ready, with its name and addresses", () => {
    const { lines, light } = pageOf({});
    expect(lines[0]).toMatch(/^homing: ready, relay chat\.example\.org, version \d/);
    expect(lines.slice(1, 3)).toEqual([
      "homing: addresses 192.0.2.5, 2001:db8::5",
      "homing: all services run",
    ]);
    expect(light).toBe("healthy");
  });

  it("says what to do next, with the public addresses for the DNS", () => {
    expect(pageOf({}).lines.slice(3)).toEqual([
      "homing: what to do next, once:",
      "homing:   1. in the DNS, publish the records of dns-records.txt in your relay folder; address: A 192.0.2.5, AAAA 2001:db8::5",
      "homing:   2. in your router's firewall, if any, let the TCP ports 25, 80, 143, 443, 465, 587, 993 in to 2001:db8::5",
      "homing:   3. in Delta Chat: Create new profile, Use other server, chat.example.org",
    ]);
  });

  it.each(["10.0.0.5", "172.16.0.5", "172.31.255.5", "192.168.178.5", "100.64.0.5", "100.127.0.5"])(
    "behind a router, says which ports to forward to %s, and that the DNS gets another address",
    (address) => {
      const text = pageOf({ addresses: [address, "fd00::5"] }).lines.join("\n");
      expect(text).toContain("address: A with the public address of your router\n");
      expect(text).toContain(`forward the TCP ports 25, 80, 143, 443, 465, 587, 993 to ${address}\n`);
      expect(text).not.toContain("AAAA");
    },
  );

  it("names the ports of calls too where the relay helps with them", () => {
    const relay = { domain: "chat.example.org", signUp: "open", udpPorts: "3478, 49152-49407" } as const;
    const text = pageOf({ relay, addresses: ["192.168.178.5", "2001:db8::5"] }).lines.join("\n");
    expect(text).toContain("465, 587, 993 and the UDP ports 3478, 49152-49407 to 192.168.178.5\n");
    expect(text).toContain("465, 587, 993 and the UDP ports 3478, 49152-49407 in to 2001:db8::5\n");
  });

  it.each(["172.15.0.5", "172.32.0.5", "100.63.0.5", "100.128.0.5", "11.0.0.5"])(
    "takes %s for a public address",
    (address) => {
      expect(pageOf({ addresses: [address] }).lines.join("\n")).toContain(`address: A ${address}\n`);
    },
  );

  it("sends the owner of a test relay neither to DNS and router nor to its name, which nobody finds", () => {
    const relay = { domain: "_try.test", signUp: "open" } as const;
    const steps = pageOf({ relay, addresses: ["192.168.1.5", "2001:db8::5"] }).lines.slice(3);
    expect(steps).toEqual([
      "homing: what to do next, to try it:",
      "homing:   1. nothing in DNS or router: a name that begins with “_” is for tests, and 192.168.1.5 leads here from where it can be reached",
      expect.stringMatching(
        /^homing: {3}2\. in Delta Chat: I Already Have a Profile, Scan Invite Code, paste dclogin:/,
      ),
    ]);
    const query = "p=PASSWORD&v=1&ih=192.168.1.5&ip=993&is=ssl&sh=192.168.1.5&sp=465&ss=ssl&ic=3";
    expect(steps[2]).toContain(` dclogin:NAME@_try.test?${query} with `);
    expect(pageOf({ relay, addresses: [] }).lines.join("\n")).toContain("&ih=ADDRESS&");
  });

  it.each([
    ["invite", /2\. sign-up is by invitation, which needs a name in the DNS: .*homing-ctl sign-up open$/],
    ["closed", /2\. sign-up is closed/],
  ] as const)("says what sign-up that is not open (%s) means for a test relay", (signUp, pattern) => {
    const { lines } = pageOf({ relay: { domain: "_try.test", signUp } });
    expect(lines.at(-1)).toMatch(pattern);
    expect(lines.join("\n")).not.toMatch(/forward|publish|dclogin/);
  });

  it("says how to invite when nobody gets in otherwise", () => {
    const text = pageOf({ relay: { domain: "chat.example.org", signUp: "invite" } }).lines.join("\n");
    expect(text).toContain("homing-ctl invite create");
    expect(text).not.toContain("Create new profile");
  });

  it("invites nobody while sign-up is closed", () => {
    const text = pageOf({ relay: { domain: "chat.example.org", signUp: "closed" } }).lines.join("\n");
    expect(text).toContain("sign-up is closed");
    expect(text).not.toContain("Delta Chat");
  });

  it("never says ready while a unit is missing, and names it", () => {
    const { lines, light } = pageOf({
      units: [...units, { unit: "homing-milter.service", state: "failed" }],
      addresses: ["192.0.2.5"],
    });
    expect(lines[0]).toMatch(/^homing: NOT READY, relay chat\.example\.org/);
    expect(lines.slice(1)).toEqual([
      "homing: addresses 192.0.2.5",
      "homing: homing-milter.service (mail policy) is failed",
    ]);
    expect(light).toBe("attention");
    expect(statusPage(noRelay).lines[0]).toMatch(/^homing: NOT READY, version/);
  });

  it("says why there is no relay, and nothing of the units that only follow", () => {
    const { lines } = statusPage({
      ...noRelay,
      units: units.map(({ unit }) => ({ unit, state: "inactive" })),
      configureProblem: "the data partition is damaged.\nCopy it.\n",
    });
    expect(lines.slice(2)).toEqual([
      "homing: mail is off: the data partition is damaged.",
      "homing: Copy it.",
    ]);
  });

  it.each<[string, Partial<Status>, RegExp]>([
    ["no address", { addresses: [] }, /^homing: no address yet/],
    ["a full disk", { room: "none" }, /^homing: the disk is full: mail is refused/],
    [
      "a disk that is nearly full",
      { room: "no-sign-up" },
      /^homing: the disk is nearly full: no new accounts/,
    ],
    ["a disk that cannot be written", { readOnly: true }, /^homing: an error on the data partition/],
    ["a disk that was repaired", { repaired: true }, /^homing: the data partition was damaged and has been/],
    [
      "no certificate",
      { certificateProblem: "Forward port 80.\n" },
      /^homing: certificate: Forward port 80\.$/,
    ],
    [
      "a file of metadata that cannot be used",
      { metadataProblem: "/data/x is damaged\n" },
      /^homing: mail goes on, but push tokens .* stay: \/data\/x is damaged$/,
    ],
    [
      "a TURN server of which nobody hears",
      {
        relay: { domain: "chat.example.org", signUp: "open", udpPorts: "3478, 49152-49407" },
        turnProblem: "nothing answers at 192.0.2.9, UDP port 3478\n",
      },
      /^homing: calls get no help, .*: nothing answers at 192\.0\.2\.9, .* UDP ports 3478, 49152-49407, and lead back/,
    ],
    [
      "a canary that found something",
      {
        canary: {
          ...{ time: 0, ok: false, works: true },
          steps: [{ name: "dns", ok: false, seconds: 1, detail: "no A", mend: "publish it" }],
        },
      },
      /^homing: canary: no A\. To mend it: publish it$/,
    ],
    ["a canary that does not come", { canaryOld: true }, /^homing: the canary has told nothing for half an/],
    ["deletion that is dead", { reaper: "old" }, /^homing: nothing old was deleted for three days, or ever/],
    ["deletion that failed in part", { reaper: "failed" }, /^homing: what is old could not be deleted every/],
    ["a folder that was not taken over", { importProblem: "NOT TAKEN OVER: x\ny\n" }, /^homing: y$/],
  ])("is ready with %s, but asks for attention", (_what, change, line) => {
    const { lines, light } = pageOf(change);
    expect(lines[0]).toMatch(/^homing: ready/);
    expect(lines).toContainEqual(expect.stringMatching(line));
    expect(light).toBe("attention");
  });

  it("expects neither canary nor deletion where there is no relay", () => {
    const change = { canaryOld: true, reaper: "old", configureProblem: "there is no relay.\n" } as const;
    expect(pageOf(change).lines.join("\n")).not.toMatch(/canary|deleted/);
  });

  it("shows nothing that a terminal would obey", () => {
    const steps = [
      { name: "dns", ok: false, seconds: 1, detail: "\u001b[2Jgone\u009b", mend: null },
    ] as const;
    const { lines } = pageOf({ canary: { time: 0, ok: false, works: true, steps } });
    expect(lines.join("")).not.toMatch(/\p{Cc}/u);
  });

  it("says which names the certificate lacks, and asks nobody for anything", () => {
    const { lines, light } = pageOf({
      addresses: ["192.0.2.5"],
      certificateRefused: "A CAA record forbids www.x.\nNobody finds mta-sts.x.\n",
    });
    expect(lines).toContain("homing: a name is missing in the certificate: A CAA record forbids www.x.");
    expect(lines).toContain("homing: a name is missing in the certificate: Nobody finds mta-sts.x.");
    expect(light).toBe("healthy");
  });

  it("tells those at home where the page for them is, and on the screen alone the PIN", () => {
    expect(homeLines(["192.168.1.5", "2001:db8::5"], "01234567\n")).toEqual([
      "homing: in your network: http://homing.local/ or http://192.168.1.5/, PIN for invitations 0123 4567",
    ]);
    expect(homeLines(["203.0.113.5", "2001:db8::5"], "01234567")).toEqual([]);
    expect(homeLines(["192.168.1.5"], undefined)).toEqual([]);
  });

  it("reads what was seen, IPv4 first", () => {
    const text =
      "unit a.service active\nunit b.service failed\naddress 2001:db8::5\naddress 192.0.2.5\nroom none\n";
    expect(readState(text)).toEqual({
      units: [
        { unit: "a.service", state: "active" },
        { unit: "b.service", state: "failed" },
      ],
      addresses: ["192.0.2.5", "2001:db8::5"],
      room: "none",
      readOnly: false,
      canaryOld: false,
    });
    expect(readState("data read-only\n")).toMatchObject({ room: "enough", readOnly: true });
    expect(readState("canary 1 2 3\ncanary-old\n").canaryOld).toBe(true);
    expect(readState("canary 1 2 3\n").canaryOld).toBe(false);
    expect(readState("reaper failed\nreaper old\n").reaper).toBe("old");
    expect(readState("reaper failed\n").reaper).toBe("failed");
    expect(readState("reaper x\n").reaper).toBeUndefined();
  });
});

describe("the status page of a relay with Wi-Fi", () => {
  const relay = { domain: "chat.example.org", signUp: "open", network: "home" } as const;

  it.each([
    ["no-card", /^homing: Wi-Fi network “home”: this machine has no radio/],
    ["out-of-reach", /^homing: Wi-Fi network “home”: not found/],
    ["refused", /^homing: Wi-Fi network “home”: it does not let the relay in.*wifi-password\.txt/],
  ] as const)("says what to look at when it is %s, and asks for attention", (wifi, words) => {
    const { lines, light } = pageOf({ relay, ...readState(`wifi ${wifi}\naddress 192.0.2.5\n`), units });
    expect(lines).toContainEqual(expect.stringMatching(words));
    expect(light).toBe("attention");
  });

  it("speaks of no cable", () => {
    expect(pageOf({ relay, addresses: [] }).lines[1]).toBe("homing: no address yet");
    expect(pageOf({ relay }).light).toBe("healthy");
  });
});
