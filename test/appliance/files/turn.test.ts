import { spawnSync } from "node:child_process";
import { mkdtemp, mkdtempDisposable, rm, stat, symlink, writeFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { dataBytes } from "../../../appliance/dns/wire.ts";
import {
  turnAddressesScript,
  turnConf,
  turnLookScript,
  turnStartScript,
} from "../../../appliance/files/turn.ts";
import { runPaths } from "../../../appliance/layout.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { forbiddenPeers } from "../../support/forbidden-peers.ts";

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

/** First and last address of each range. */
const ranges = lines.flatMap((line) => {
  const [, first, last] = /^denied-peer-ip=(.+)-(.+)$/.exec(line) ?? [];
  return first === undefined || last === undefined ? [] : [{ first, last }];
});

const octets = (address: string) => dataBytes({ type: isIPv6(address) ? "AAAA" : "A", address });

function isDenied(address: string): boolean {
  const one = octets(address);
  return ranges.some((range) => {
    const [first, last] = [octets(range.first), octets(range.last)];
    return first.length === one.length && first.compare(one) <= 0 && one.compare(last) <= 0;
  });
}

it.each(forbiddenPeers)(
  "lets no call lead to $first-$last ($what), and lets it lead to what is next to it",
  (peers) => {
    const { first, last, example, allowed } = peers;
    expect([first, example, last].filter((address) => !isDenied(address))).toEqual([]);
    expect(allowed.filter(isDenied)).toEqual([]);
  },
);

it("begins no range of IPv6 addresses with ::, which coturn takes for one that holds all of IPv4", () => {
  expect(ranges.filter(({ first }) => first === "::")).toEqual([]);
});

it.each([turnAddressesScript, turnStartScript, turnLookScript])(
  "$path is a script of the shell",
  (script) => {
    const { status, stderr } = spawnSync("sh", ["-n"], { input: script.content, encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  },
);

/** What the script prints where `ip` and the DNS say so; `ip` knows the words after its options. */
async function addressOptions(said: Readonly<Record<string, string>>, shown: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), "homing-turn-"));
  try {
    const program = (name: string, text: string) =>
      writeFile(join(folder, name), `#!/bin/sh\n${text}`, { mode: 0o755 });
    const answers = Object.entries(said).map(
      ([words, text]) => `"${words}") cat <<'END'\n${text}\nEND\n;;\n`,
    );
    await program("ip", `case "$*" in\n${answers.join("")}esac\n`);
    await program("getent", `echo "${shown} STREAM _a.test"\n`);
    await writeFile(join(folder, "domain"), "_a.test\n");
    const script = turnAddressesScript.content.replace(runPaths.turnDomain, join(folder, "domain"));
    const env = { PATH: `${folder}:${process.env.PATH}` };
    const { status, stdout, stderr } = spawnSync("sh", [], { input: script, env, encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    return stdout.trim().split("\n");
  } finally {
    await rm(folder, { recursive: true });
  }
}

it("lets no call lead to others in the relay's home, by whatever address", async () => {
  const options = await addressOptions(
    {
      "-o -4 route get 192.0.2.1": "192.0.2.1 via 192.168.7.1 dev eth0 src 192.168.7.20 uid 916",
      "-o -6 route get 2001:db8::1":
        "2001:db8::1 from :: via fe80::1 dev eth0 proto ra src 2a00:1:2:45a3::20 metric 1024",
      "-o -4 addr show scope global": "2: eth0    inet 192.168.7.20/24 brd 192.168.7.255 scope global eth0",
      "-o -6 addr show scope global": [
        "2: eth0    inet6 2a00:1:2:45a3::20/64 scope global dynamic mngtmpaddr",
        "2: eth0    inet6 fd00::20/64 scope global",
      ].join("\n"),
      "-o -4 route show scope link": "192.168.7.0/24 dev eth0 proto kernel src 192.168.7.20",
      "-o -6 route show": [
        "2a00:1:2:45a3::/64 dev eth0 proto ra metric 1024",
        "2a00:7::/48 via fe80::1 dev eth0 proto ra metric 1024",
        "2a09::5/128 via fe80::1 dev eth0 metric 1024",
        "2000::/3 via fe80::1 dev eth0 metric 1024",
        "fe80::/64 dev eth0 proto kernel metric 256",
        "default via fe80::1 dev eth0 proto ra metric 1024",
      ].join("\n"),
    },
    "198.51.100.7",
  );
  expect(options).toEqual([
    "--listening-ip=192.168.7.20",
    "--listening-ip=2a00:1:2:45a3::20",
    "--external-ip=198.51.100.7/192.168.7.20",
    "--allowed-peer-ip=192.168.7.20",
    "--allowed-peer-ip=2a00:1:2:45a3::20",
    "--denied-peer-ip=192.168.7.0-192.168.7.255",
    "--denied-peer-ip=2a00:0001:0002:4500:0000:0000:0000:0000-2a00:0001:0002:45ff:ffff:ffff:ffff:ffff",
    "--denied-peer-ip=2a00:0007:0000:0000:0000:0000:0000:0000-2a00:0007:0000:ffff:ffff:ffff:ffff:ffff",
  ]);
});

it.skipIf(process.platform === "win32")(
  "leaves its addresses for root without capabilities to read",
  async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), "homing-turn-"));
    const at = (name: string) => join(folder.path, name);
    await writeFile(at("turn-addresses"), "#!/bin/sh\necho --listening-ip=192.168.7.20\n", { mode: 0o755 });
    await writeFile(at("turnserver"), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
    const input = turnStartScript.content
      .replace(turnAddressesScript.path, at("turn-addresses"))
      .replace("/usr/bin/turnserver", at("turnserver"))
      .replaceAll(runPaths.turnState, folder.path);
    // As the unit's sandbox has it.
    const { stdout } = spawnSync("sh", ["-c", `umask 077\n${input}`], { encoding: "utf8" });
    expect(stdout).toMatch(/ --listening-ip=192\.168\.7\.20\n$/);
    expect((await stat(at("addresses"))).mode & 0o777).toBe(0o644);
  },
);

it("takes the same one of several public addresses, whatever their order", async () => {
  const said = {
    "-o -4 route get 192.0.2.1": "192.0.2.1 via 192.168.7.1 dev eth0 src 192.168.7.20 uid 916",
  };
  for (const shown of ["198.51.100.7 STREAM\n198.51.100.8", "198.51.100.8 STREAM\n198.51.100.7"])
    expect(await addressOptions(said, shown)).toContain("--external-ip=198.51.100.7/192.168.7.20");
});

it.skipIf(process.platform !== "linux")(
  "starts the server again for another address, not for a lookup that failed, and waits for no pipe",
  async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), "homing-turn-"));
    const at = (name: string) => join(folder.path, name);
    /** Whether the script has it started again, with what the other script says now. */
    const restarts = async (now: string) => {
      await writeFile(at("turn-addresses"), `#!/bin/sh\ncat <<'END'\n${now}\nEND\n`, { mode: 0o755 });
      await writeFile(at("systemctl"), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
      const input = turnLookScript.content
        .replace(turnAddressesScript.path, at("turn-addresses"))
        .replaceAll(runPaths.turnState, folder.path);
      const env = { PATH: `${folder.path}:${process.env.PATH}` };
      const { status, stdout } = spawnSync("sh", [], { input, env, encoding: "utf8", timeout: 5_000 });
      expect(status).toBe(0);
      return stdout === "try-restart homing-turn.service\n";
    };
    const own = "--listening-ip=192.168.7.20";
    const behind = `${own}\n--external-ip=198.51.100.7/192.168.7.20`;
    await writeFile(at("addresses"), `${behind}\n--allowed-peer-ip=192.168.7.20\n`);
    const rest = "\n--allowed-peer-ip=192.168.7.20";
    expect(await restarts(behind + rest)).toBe(false);
    expect(await restarts(own + rest)).toBe(false);
    expect(await restarts(behind.replace("198.51.100.7", "198.51.100.9") + rest)).toBe(true);
    expect(await restarts(own.replace("7.20", "7.21") + rest)).toBe(true);
    await rm(at("addresses"));
    expect(spawnSync("mkfifo", [at("addresses")]).status).toBe(0);
    expect(await restarts(own)).toBe(true);
    await rm(at("addresses"));
    await writeFile(at("other"), own);
    await symlink("other", at("addresses"));
    expect(await restarts(own)).toBe(true);
  },
);

it("lets no call lead to the public IPv4 addresses beside the relay's", async () => {
  const options = await addressOptions(
    {
      "-o -4 route get 192.0.2.1": "192.0.2.1 via 203.0.113.65 dev eth0 src 203.0.113.77 uid 916",
      "-o -4 addr show scope global": "2: eth0    inet 203.0.113.77/27 scope global eth0",
      "-o -4 addr show to 203.0.113.77/32": "2: eth0    inet 203.0.113.77/27 scope global eth0",
      "-o -4 route show scope link": "203.0.113.64/27 dev eth0 proto kernel src 203.0.113.77",
    },
    "203.0.113.77",
  );
  expect(options).toEqual([
    "--listening-ip=203.0.113.77",
    "--allowed-peer-ip=203.0.113.77",
    "--denied-peer-ip=203.0.113.64-203.0.113.95",
  ]);
});

it.each([
  ["first_port = 60000", "turn.last_port: found 49407; allowed: at least first_port, which is 60000"],
  ["first_port = 3000", "turn.first_port: found 3000; allowed: ports without 3478"],
  ["first_port = 3479\nlast_port = 5353", "turn.first_port: found 3479; allowed: ports without 5353"],
])("refuses ports that cannot be: %s", (setting, problem) => {
  const text = `domain = "a.example"\n[turn]\n${setting}\n`;
  expect(() => parseRelayConfig(text, "relay.toml")).toThrow(problem);
});
