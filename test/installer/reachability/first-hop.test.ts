/** Which router packets meet first (installer/reachability/), by systems' tables of routes, pings and interfaces. */
import type { NetworkInterfaceInfo } from "node:os";
import { describe, expect, it } from "vitest";
import { tunnelOf } from "../../../installer/reachability/addresses.ts";
import { readPing } from "../../../installer/reachability/first-hop.ts";
import { bsdRouter, linuxRouter, windowsRouter } from "../../../installer/reachability/router-place.ts";

describe("where packets go first", () => {
  it.each([
    [
      "Linux",
      linuxRouter,
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\n",
    ],
    [
      "macOS",
      bsdRouter,
      "Internet:\nDestination        Gateway            Flags\ndefault            192.168.1.1        UGScg     en0\n127                127.0.0.1          UCS       lo0\n",
    ],
    [
      "Windows",
      windowsRouter,
      "IPv4-Routentabelle\r\n          0.0.0.0          0.0.0.0       10.8.0.1      10.8.0.2     50\r\n          0.0.0.0          0.0.0.0      192.168.1.1     192.168.1.20     25\r\n  0.0.0.0  0.0.0.0  10.9.9.9  Standard\r\n",
    ],
  ] as const)("is found in the table of %s", (_, read, table) => {
    expect(read(table)).toBe("192.168.1.1");
    expect(read("")).toBeNull();
  });

  it.each([
    [true, "64 bytes from 198.35.26.96: icmp_seq=1 ttl=64 time=0.143 ms"],
    [true, "64 bytes from 198.35.26.96: seq=0 ttl=64 time=0.143 ms"],
    [true, "\r\nAntwort von 198.35.26.96: Bytes=32 Zeit<1ms TTL=64\r\n"],
    [false, "From 192.168.1.1 icmp_seq=1 Time to live exceeded"],
    [false, "92 bytes from 192.168.1.1: Time to live exceeded"],
    [false, "Reply from 192.168.1.1: TTL expired in transit."],
    [null, "Antwort von 192.168.1.20: Zielhost nicht erreichbar."],
    [null, "64 bytes from 198.35.26.9: icmp_seq=1 ttl=64"],
    [null, "1 packets transmitted, 0 received, 100% packet loss"],
    [null, ""],
  ])("shows the first router's address: %s by “%s”", (expected, text) => {
    expect(
      readPing(`PING 198.35.26.96 (198.35.26.96) 56(84) bytes of data.\n${text}\n`, "198.35.26.96"),
    ).toBe(expected);
  });

  it("is a VPN where the interface is no card", () => {
    const entry = (address: string, mac: string, internal = false) =>
      ({ address, mac, internal, family: "IPv4", netmask: "", cidr: null }) as NetworkInterfaceInfo;
    const none = "00:00:00:00:00:00";
    const interfaces = {
      lo: [entry("127.0.0.1", none, true)],
      eth0: [entry("192.168.1.20", "02:00:00:00:00:01")],
      wg0: [entry("10.8.0.2", none)],
      ppp0: [entry("198.35.26.96", none)],
      "OpenVPN TAP-Windows6": [entry("10.9.0.2", "00:ff:00:00:00:01")],
    };
    const of = (address: string) => tunnelOf(address, interfaces);
    expect(["127.0.0.1", "192.168.1.20", "10.8.0.2", "198.35.26.96", "10.9.0.2", "10.0.0.9"].map(of)).toEqual(
      [...[null, null, "wg0", null, "OpenVPN TAP-Windows6", null]],
    );
  });
});
