/** Forwarding by routers (installer/reachability/) that do as they are told, and by some that do not. */
import { describe, expect, it } from "vitest";
import { painterFor } from "../../../installer/dns/painter.ts";
import { findForwarding } from "../../../installer/reachability/forward.ts";
import { forwardingText } from "../../../installer/reachability/forwarding-text.ts";
import { servicesIn } from "../../../installer/reachability/upnp-search.ts";
import {
  DEVICE,
  description,
  type Entry,
  natPmpRouter,
  never,
  OWN,
  pcpRouter,
  places,
  secret,
  service,
  type UpnpOptions,
  upnpRouter,
  wanIp,
} from "./imagined-routers.ts";

describe("forwarding by UPnP", () => {
  it("forwards every port, for good, and takes back what it did and nothing else", async () => {
    const list = new Map<number | string, Entry>([
      [80, { target: DEVICE, port: 80, label: "my web" }],
      [443, { target: "192.168.1.9", port: 8443, label: "NAS\u001b[2J" }],
    ]);
    const { router, open, close } = await findForwarding(await places(await upnpRouter(list)), secret, never);
    expect(router).toEqual({ address: OWN, outerAddress: "198.35.26.96", forwarding: ["upnp"] });
    const opened = await open(DEVICE);
    expect(opened.ports.map(({ port, state }) => `${port} ${state}`)).toEqual([
      ...["25 forwarded", "80 forwarded", "143 forwarded", "443 held"],
      ...["465 forwarded", "587 forwarded", "993 forwarded"],
    ]);
    const text = forwardingText(opened, painterFor({}, {}));
    expect(text).toMatch(/^OK +25, 143, 465, 587, 993: go to 192\.168\.1\.30, by UPnP, for good$/m);
    expect(text).toMatch(/^OK +80: go to 192\.168\.1\.30, as before$/m);
    expect(text).toMatch(/^TAKEN +443: goes to 192\.168\.1\.9 port 8443 \(“NAS\?\[2J”\)$/m);
    const closed = await close(DEVICE);
    expect(closed.ports.filter(({ state }) => state === "removed")).toHaveLength(5);
    expect([...list.keys()]).toEqual([80, 443]);
    expect((await close(DEVICE)).ports.some(({ state }) => state !== "absent")).toBe(false);
  });

  it("takes back only what goes to the device that is named, and no other program's of the same device", async () => {
    const nas = "192.168.1.9";
    const list = new Map<number | string, Entry>([
      [25, { target: nas, port: 25, label: "Homing" }],
      [80, { target: OWN, port: 80, label: "Homing" }],
      [143, { target: OWN, port: 143, label: "NAT-PMP 143 tcp" }],
      [443, { target: OWN, port: 443, label: "PCP MAP 000102030405060708090a0b" }],
    ]);
    const asked: number[] = [];
    const mapping = await natPmpRouter((port) => {
      asked.push(port);
      return { port };
    });
    const { close } = await findForwarding(await places(await upnpRouter(list), mapping), secret, never);
    const { ports } = await close(OWN);
    const told = ports.map(({ port, state, way, reason }) => `${port} ${state} ${way} ${reason}`);
    expect(told.slice(0, 5)).toEqual([
      "25 absent upnp goes to 192.168.1.9 port 25 (“Homing”): name it by --to",
      "80 removed upnp ",
      "143 absent upnp goes to 127.0.0.1 port 143 (“NAT-PMP 143 tcp”), which stays",
      "443 absent upnp goes to 127.0.0.1 port 443 (“PCP MAP 000102030405060708090a0b”), which stays",
      "465 removed nat-pmp if it was there",
    ]);
    expect([...list.keys()]).toEqual([25, 143, 443]);
    // What is not answered within 250 ms, as on a busy machine, is asked again (RFC 6886 §3.1).
    expect([...new Set(asked)]).toEqual([465, 587, 993]);
    expect((await close(nas)).ports[0]).toMatchObject({ port: 25, state: "removed", way: "upnp" });
    expect([...list.keys()]).toEqual([143, 443]);
  });

  it("says what the router answers when it refuses, and does not believe a yes that does nothing", async () => {
    const reasonOf = async (options: UpnpOptions) => {
      const { open } = await findForwarding(
        await places(await upnpRouter(new Map(), options)),
        secret,
        never,
      );
      return (await open(DEVICE)).ports.map(({ state, reason }) => `${state} ${reason}`)[0];
    };
    expect(await reasonOf({ refuses: 606 })).toMatch(/^refused by UPnP: its settings forbid it/);
    expect(await reasonOf({ refuses: 799 })).toBe("refused by UPnP: error 799");
    expect(await reasonOf({ forgets: true })).toMatch(/said yes, but its list does not have it/);
  });

  it("fetches no page from anywhere but the router", async () => {
    const elsewhere = ["http://127.0.0.2:1/root.xml", "file:///etc/passwd", "https://127.0.0.1/", "nonsense"];
    const asked = new AbortController();
    const searches = elsewhere.map(async (location) => {
      const router = await places(await upnpRouter(new Map(), { location }));
      await expect(findForwarding(router, secret, asked.signal)).rejects.toThrow("searched");
    });
    setTimeout(() => asked.abort(new Error("searched long enough")), 300);
    await Promise.all(searches);
  });

  it("finds the service in whatever else a description holds, quickly also in a hostile one", () => {
    const page = new URL("http://192.168.1.1:5000/rootDesc.xml");
    const read = (text: string) => servicesIn(text, page, "192.168.1.1").map(({ control }) => control.href);
    expect(read(description)).toEqual(["http://192.168.1.1:5000/ctl"]);
    expect(read(`<URLBase>http://192.168.1.1:80/</URLBase>${service(wanIp, "ctl/a")}`)).toEqual([
      "http://192.168.1.1/ctl/a",
    ]);
    expect(read(service(wanIp, "http://192.168.1.2/ctl"))).toEqual([]);
    expect(read("<service>".repeat(14_000))).toEqual([]);
  });
});

describe("forwarding by NAT-PMP", () => {
  it("goes to this computer alone, for a time, which is said", async () => {
    const mapping = await natPmpRouter((port) => ({ port }));
    const { router, own, open, close } = await findForwarding(await places([], mapping), secret, never);
    expect(router.forwarding).toEqual(["nat-pmp"]);
    expect(own).toBe(OWN);
    const opened = await open(OWN);
    expect(opened.ports.every(({ state, seconds }) => state === "forwarded" && seconds === 7200)).toBe(true);
    const text = forwardingText(opened, painterFor({}, {}));
    expect(text).toMatch(/forgets this in 2 hours/);
    expect(text).toMatch(/lead to this computer\. The relay needs them at its own address/);
    const closed = await close(OWN);
    expect(closed.ports.every(({ state }) => state === "removed")).toBe(true);
    expect(forwardingText(closed, painterFor({}, {}))).toMatch(
      /993: no longer forwarded, by NAT-PMP, if it was there$/m,
    );
    const other = await open(DEVICE);
    expect(other.ports[0]?.reason).toBe("by NAT-PMP: only a device itself can ask for its ports");
  });

  it("takes no other port than the one that people connect to", async () => {
    const given: number[] = [];
    const mapping = await natPmpRouter((port) => {
      given.push(port);
      return port === 25 ? { port: 40_025 } : { port, result: 2 };
    });
    const { open } = await findForwarding(await places([], mapping), secret, never);
    const { ports } = await open(OWN);
    expect(ports[0]?.reason).toBe("by NAT-PMP: another device has that port");
    expect(ports[1]?.reason).toBe("by NAT-PMP: its settings forbid it");
    // What was given instead is given back.
    expect(given.filter((port) => port === 25)).toHaveLength(2);
  });
});

describe("forwarding by PCP", () => {
  it("is taken back where UPnP's list has it by another name, unless somebody else made it", async () => {
    const list = new Map<number | string, Entry>();
    const mapping = await pcpRouter(list);
    const { open } = await findForwarding(await places([], mapping), secret, never);
    expect((await open(OWN)).ports.map(({ way }) => way)).toEqual(Array(7).fill("pcp"));
    list.set(443, { target: OWN, port: 443, label: "PCP MAP of another program" });
    const { router, close } = await findForwarding(
      await places(await upnpRouter(list), mapping),
      secret,
      never,
    );
    expect(router.forwarding).toEqual(["upnp", "pcp"]);
    const { ports } = await close(OWN);
    expect(ports.filter(({ state }) => state !== "removed").map(({ port }) => port)).toEqual([443]);
    expect([...list.keys()]).toEqual([443]);
    // To take back what is not there is a success for the router.
    expect((await close(OWN)).ports[0]).toMatchObject({ state: "removed", reason: "if it was there" });
  });
});

describe("forwarding by nobody", () => {
  it("says what to enter by hand", async () => {
    const { open, close } = await findForwarding(await places([]), secret, never);
    await expect(open(DEVICE)).rejects.toThrow(/forwards nothing .* 25, 80, .* each to the same port of 192/);
    await expect(open(OWN)).rejects.toThrow(/same port of the relay/);
    await expect(close(DEVICE)).rejects.toThrow(/Look at its own page/);
  });
});
