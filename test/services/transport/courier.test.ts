/** What becomes of mail for which there is no connection: it stays with Postfix, and nothing is learned of the domain. */
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
