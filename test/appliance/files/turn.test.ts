import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import {
  turnAddressesScript,
  turnConf,
  turnLookScript,
  turnStartScript,
} from "../../../appliance/files/turn.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";

const config = parseRelayConfig(
  'domain = "_a.test"\n[turn]\nenabled = true\nfirst_port = 50000\nlast_port = 50099\n',
  "relay.toml",
);
const lines = turnConf(config, "0123abcd").split("\n");

it("binds the calls to the ports that are set, and takes no more of them", () => {
  for (const line of ["min-port=50000", "max-port=50099", "total-quota=100", "static-auth-secret=0123abcd"]) {
    expect(lines).toContain(line);
  }
});

it("begins no range of IPv6 addresses with ::, which coturn takes for one that holds all of IPv4", () => {
  const ranges = lines.filter((line) => line.startsWith("denied-peer-ip="));
  expect(ranges.length).toBeGreaterThan(15);
  expect(ranges.filter((line) => line.startsWith("denied-peer-ip=::-"))).toEqual([]);
});

it.each([turnAddressesScript, turnStartScript, turnLookScript])(
  "$path is a script of the shell",
  (script) => {
    const { status, stderr } = spawnSync("sh", ["-n"], { input: script.content, encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  },
);

it.each([
  ["first_port = 60000", "turn.last_port: found 49407; allowed: at least first_port, which is 60000"],
  ["first_port = 3000", "turn.first_port: found 3000; allowed: ports without 3478"],
])("refuses ports that cannot be: %s", (setting, problem) => {
  const text = `domain = "a.example"\n[turn]\n${setting}\n`;
  expect(() => parseRelayConfig(text, "relay.toml")).toThrow(problem);
});
