import { describe, expect, it } from "vitest";
import { createNetworkPlaces } from "../../../services/lib/network-places.ts";

describe("the places of networks", () => {
  it("are counted for an IPv4 address", () => {
    const places = createNetworkPlaces({ perNetwork: 2, perSite: 1 });
    expect(places.take("192.0.2.1")).toBe("192.0.2.1");
    expect(places.take("::ffff:192.0.2.1")).toBe("192.0.2.1");
    expect(places.take("192.0.2.1")).toBeUndefined();
    expect(places.take("192.0.2.2")).toBe("192.0.2.2");
    places.leave("192.0.2.1");
    expect(places.take("192.0.2.1")).toBe("192.0.2.1");
  });

  it("are counted for the /64 and for the /48 of an IPv6 address, and come back to both", () => {
    const places = createNetworkPlaces({ perNetwork: 2, perSite: 3 });
    const first = places.take("2001:db8:1:1::1")!;
    expect(places.take("2001:db8:1:1::2")).toBe(first);
    expect(places.take("2001:db8:1:1::3")).toBeUndefined();
    expect(places.take("2001:db8:1:2::1")).toBeDefined();
    expect(places.take("2001:db8:1:3::1")).toBeUndefined();
    expect(places.take("2001:db8:2:1::1")).toBeDefined();
    places.leave(first);
    expect(places.take("2001:db8:1:3::1")).toBeDefined();
    expect(places.take("2001:db8:1:1::1")).toBeUndefined();
  });

  it("of clients without an address are those of one network", () => {
    const places = createNetworkPlaces({ perNetwork: 1, perSite: 9 });
    expect(places.take("")).toBeDefined();
    expect(places.take("unix")).toBeUndefined();
  });
});
