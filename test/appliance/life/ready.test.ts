import { describe, expect, it } from "vitest";
import { reachableAddresses, readyLines } from "../../../appliance/life/ready.ts";

const up = [
  { unit: "postfix.service", state: "active" },
  { unit: "dovecot.service", state: "active" },
];

describe("the line on the console", () => {
  it("says that the relay is ready, with its name and addresses", () => {
    const [first, second] = readyLines("chat.example.org", up, ["192.0.2.5", "2001:db8::5"]);
    expect(first).toMatch(/^homing: ready, relay chat\.example\.org/);
    expect(second).toBe("homing: addresses 192.0.2.5, 2001:db8::5");
  });

  it("says when there is no address", () => {
    expect(readyLines("chat.example.org", up, [])[1]).toMatch(/no address/);
  });

  it("says what was not taken over from the boot partition, last", () => {
    const lines = readyLines("chat.example.org", up, ["192.0.2.5"], "NOT TAKEN OVER: x\ny\n");
    expect(lines.slice(2)).toEqual(["homing: NOT TAKEN OVER: x", "homing: y"]);
  });

  it("never says ready while a unit is missing, and names it", () => {
    const lines = readyLines(
      "chat.example.org",
      [...up, { unit: "homing-milter.service", state: "failed" }],
      [],
    );
    expect(lines).toEqual(["homing: NOT READY", "homing: homing-milter.service is failed"]);
    expect(readyLines(undefined, up, ["192.0.2.5"])[0]).toBe("homing: NOT READY");
  });

  it("lists addresses that others can reach, IPv4 first", () => {
    const entry = { netmask: "", mac: "", cidr: null } as const;
    expect(
      reachableAddresses({
        lo: [{ ...entry, address: "127.0.0.1", family: "IPv4", internal: true }],
        eth0: [
          { ...entry, address: "fe80::1", family: "IPv6", internal: false, scopeid: 2 },
          { ...entry, address: "2001:db8::5", family: "IPv6", internal: false, scopeid: 0 },
          { ...entry, address: "192.0.2.5", family: "IPv4", internal: false },
        ],
      }),
    ).toEqual(["192.0.2.5", "2001:db8::5"]);
  });
});
