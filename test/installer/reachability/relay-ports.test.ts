/** Forwarding of the UDP ports for calls (installer/reachability/relay-ports.ts) beside those for mail. */
import { describe, expect, it } from "vitest";
import { painterFor } from "../../../installer/dns/painter.ts";
import { findForwarding } from "../../../installer/reachability/forward.ts";
import { forwardingText } from "../../../installer/reachability/forwarding-text.ts";
import {
  DEVICE,
  type List,
  natPmpRouter,
  never,
  OWN,
  pcpRouter,
  places,
  secret,
  upnpRouter,
} from "./imagined-routers.ts";

describe("the ports for calls", () => {
  const calls = { turn: 3478, first: 50_000, last: 50_002 };
  const own = ["udp 3478", "udp 50000", "udp 50001", "udp 50002"];

  it("are forwarded by UPnP as well, that of TURN last, and taken back", async () => {
    const list: List = new Map([["udp 50001", { target: "192.168.1.9", port: 50_001, label: "game" }]]);
    const { open, close } = await findForwarding(await places(await upnpRouter(list)), secret, never);
    const opened = await open(DEVICE, calls);
    expect(opened.ports.slice(7).map(({ protocol, port, state }) => `${protocol} ${port} ${state}`)).toEqual([
      ...["udp 50000 forwarded", "udp 50001 held", "udp 50002 forwarded", "udp 3478 forwarded"],
    ]);
    const text = forwardingText(opened, painterFor({}, {}));
    expect(text).toMatch(/^OK +25, 80, .*993, UDP 3478, 50000, 50002: go to 192\.168\.1\.30/m);
    expect(text).toMatch(/^TAKEN +UDP 50001: goes to 192\.168\.1\.9/m);
    expect([...list.keys()].filter((key) => typeof key === "string").sort()).toEqual(own);
    await close(DEVICE, calls);
    expect([...list.keys()]).toEqual(["udp 50001"]);
  });

  it("are taken back by UPnP also when nobody names them any more, the others' stay", async () => {
    const list: List = new Map([
      ["udp 27015", { target: DEVICE, port: 27_015, label: "game" }],
      ["udp 50001", { target: "192.168.1.9", port: 50_001, label: "Homing" }],
    ]);
    const { open, close } = await findForwarding(await places(await upnpRouter(list)), secret, never);
    await open(DEVICE, calls);
    const { ports } = await close(DEVICE);
    expect(ports.slice(7).map(({ protocol, port, state }) => `${protocol} ${port} ${state}`)).toEqual([
      ...["udp 50000 removed", "udp 50002 removed", "udp 3478 removed"],
    ]);
    expect([...list.keys()]).toEqual(["udp 27015", "udp 50001"]);
  });

  it("are asked for by PCP and NAT-PMP as UDP", async () => {
    const list: List = new Map();
    const byPcp = await findForwarding(await places([], await pcpRouter(list)), secret, never);
    await byPcp.open(OWN, calls);
    expect([...list.keys()].slice(7).sort()).toEqual(own);
    await byPcp.close(OWN, calls);
    expect(list.size).toBe(0);
    const operations = new Map<number, number>();
    const mapping = await natPmpRouter((port, operation) => {
      operations.set(port, operation);
      return { port };
    });
    const byNatPmp = await findForwarding(await places([], mapping), secret, never);
    const { ports } = await byNatPmp.open(OWN, calls);
    expect(ports.every(({ state }) => state === "forwarded")).toBe(true);
    // RFC 6886 §3.3.
    expect([operations.get(443), operations.get(3478)]).toEqual([2, 1]);
  });

  it("are not asked for where they are many: then the report says what to enter", async () => {
    const list: List = new Map();
    const { open } = await findForwarding(await places(await upnpRouter(list)), secret, never);
    const opened = await open(DEVICE, { turn: 3478, first: 49_152, last: 49_407 });
    expect(opened).toMatchObject({ areCallsLeft: true });
    expect(list.size).toBe(7);
    expect(forwardingText(opened, painterFor({}, {}))).toMatch(
      /needs the UDP ports 3478, 49152 to 49407 as well\. .* on its own page/,
    );
    const nobody = await findForwarding(await places([]), secret, never);
    await expect(nobody.open(DEVICE, calls)).rejects.toThrow(
      /993 and the UDP ports 3478, 50000 to 50002, each to the same port/,
    );
  });
});
