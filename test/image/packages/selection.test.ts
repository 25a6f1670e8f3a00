/** The reasons that stand beside the selected packages (image/packages/selection.ts). */
import { expect, it } from "vitest";
import { systemFiles } from "../../../appliance/files/system.ts";
import { packagesFor } from "../../../image/packages/selection.ts";

it("calls the resolver validating only when the device has it validate", () => {
  const { reason } = packagesFor("amd64").packages.find(({ name }) => name === "systemd-resolved")!;
  const settings = systemFiles()["/usr/lib/systemd/resolved.conf.d/homing.conf"]!;
  expect(/\bvalidating\b/.test(reason)).toBe(!/^DNSSEC=no$/m.test(settings));
});
