import { describe, expect, it } from "vitest";
import { networkOf } from "../../../services/lib/network.ts";

describe("networkOf", () => {
  it.each([
    ["192.0.2.17", "192.0.2.17"],
    ["::ffff:192.0.2.17", "192.0.2.17"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"],
    ["2001:DB8:0001:ffff::1", "2001:db8:1::/48"],
    ["2001:db8::1", "2001:db8:0::/48"],
    ["::1", "0:0:0::/48"],
    ["::", "0:0:0::/48"],
    ["1::2:3:4:5:6:7", "1:0:2::/48"],
    ["fe80::1%eth0", "fe80:0:0::/48"],
    ["64:ff9b::192.0.2.1", "64:ff9b:0::/48"],
    ["", "nowhere"],
    ["unix", "nowhere"],
    ["192.0.2.1.evil", "nowhere"],
    ["192.0.2.256", "nowhere"],
  ])("counts %j as %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  it.each([
    ["192.0.2.17", "192.0.2.17"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["1:2:3::192.0.2.1", "1:2:3:0::/64"],
    ["", "nowhere"],
  ])("counts %j as %s where a link counts once", (address, network) => {
    expect(networkOf(address, 64)).toBe(network);
  });
});
