/** How many messages go on to SMTP from the processes of relays. */
import { expect, it } from "vitest";
import {
  createSmtpAfterHttps,
  GOING_ON_MS,
  MAX_GOING_ON,
  MAX_GOING_ON_OF_ONE,
} from "../../../services/transport/smtp-after-https.ts";

it("lets so many of a sender go on, so many in all, and others when these must be over", () => {
  let now = 0;
  const { mayGoOn } = createSmtpAfterHttps(() => now);
  const ofOne = (sender: string) =>
    Array.from({ length: MAX_GOING_ON_OF_ONE + 1 }, () => mayGoOn(sender)).filter(Boolean).length;
  expect(ofOne("alice")).toBe(MAX_GOING_ON_OF_ONE);
  now = 1000;
  const others = Array.from({ length: MAX_GOING_ON }, (_, i) => mayGoOn(`sender ${i}`));
  expect(others.filter(Boolean)).toHaveLength(MAX_GOING_ON - MAX_GOING_ON_OF_ONE);
  now = GOING_ON_MS - 1;
  expect(mayGoOn("alice")).toBe(false);
  now = GOING_ON_MS;
  expect(ofOne("alice")).toBe(MAX_GOING_ON_OF_ONE);
  expect(mayGoOn("bob")).toBe(false);
});
