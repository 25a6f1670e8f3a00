/** What is learned of a domain, and what not: from mail for which there is no connection, or which HTTPS has no room for. */
import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { createLog } from "../../../services/lib/log.ts";
import { createBodyReader } from "../../../services/transport/body.ts";
import { createCourier } from "../../../services/transport/courier.ts";
import { createDestinations } from "../../../services/transport/destinations.ts";
import { createPlaces } from "../../../services/transport/places.ts";

const waits = { code: 550, text: expect.stringContaining("waits: 4.") };

it.each([
  ["small", 100],
  ["large", 2_000_000],
])("keeps a %s message with Postfix while all connections are busy", async (_what, bytes) => {
  const destinations = createDestinations(() => 0);
  const noPlace = async () => ({ kind: "no place" }) as const;
  const courier = createCourier({
    destinations,
    mailDomain: async () => "takes mail",
    https: { post: noPlace, look: noPlace, close: () => {} },
    bodies: createBodyReader(),
    places: createPlaces(),
    now: () => 0,
    counted: () => {},
    log: createLog(() => {}),
  });
  const mail = () => ({
    ...{ from: "alice@a.example", to: ["bob@b.example"], utf8: false, eightBit: false },
    source: Readable.from([Buffer.alloc(bytes, "x")]),
  });
  expect(await courier.deliver(mail(), "first")).toMatchObject(waits);
  // What took mail by HTTPS goes on doing so.
  destinations.httpsWorked("b.example");
  expect(await courier.deliver(mail(), "first")).toMatchObject(waits);
  expect(destinations.isKnownByHttps("b.example")).toBe(true);
  expect(await courier.deliver(mail(), "last")).toMatchObject({ code: 451 });
});

it.each([
  ["that does not exist", "does not exist", "alice@a.example", "https"],
  ["that takes no mail", "null MX", "alice@a.example", "https"],
  ["whose recipient HTTPS has no room for", "takes mail", "ali\u00e7e@a.example", "https"],
  ["without a relay", "takes mail", "alice@a.example", "smtp"],
] as const)("remembers of a domain %s what is true of it", async (_what, state, from, choice) => {
  let now = 0;
  const destinations = createDestinations(() => now);
  const failed = async () => ({ kind: "failed", reason: "refused" }) as const;
  const courier = createCourier({
    destinations,
    mailDomain: async () => state,
    https: { post: failed, look: failed, close: () => {} },
    bodies: createBodyReader(),
    places: createPlaces(),
    now: () => now,
    counted: () => {},
    log: createLog(() => {}),
  });
  const source = Readable.from([Buffer.from("x")]);
  const mail = { from, to: ["bob@b.example"], utf8: false, eightBit: false, source };
  expect(await courier.deliver(mail, "first")).toMatchObject({ code: 451 });
  now = 60_000;
  expect(destinations.choice("b.example")).toBe(choice);
});
