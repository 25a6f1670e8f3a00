/** The scripts that look and shine, run by a real shell; what they call of the system is replaced by small programs. */
import { spawnSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { roomFile, statusScripts } from "../../../appliance/files/status.ts";
import { homingUnits } from "../../../appliance/files/units.ts";
import { dataPaths, reaperStatePath, runPaths } from "../../../appliance/layout.ts";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";

const onPosix = describe.skipIf(process.platform === "win32");

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-status-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const scriptOf = (name: string) =>
  statusScripts(["a.service", "b.service"]).find(({ path }) => path.endsWith(`/${name}`))!.content;

function run(name: string, args: string[], env: NodeJS.ProcessEnv = process.env) {
  const { status, stderr } = spawnSync("sh", ["-c", scriptOf(name), name, ...args], {
    env,
    encoding: "utf8",
  });
  return { status, stderr };
}

it("makes the page where no key can be read", () => {
  const unit = homingUnits()["homing-status.service"]!;
  const hidden = /^InaccessiblePaths=(.*)$/m.exec(unit)?.[1]?.split(" ");
  for (const path of [dataPaths.relay, dataPaths.tls, dataPaths.ssh, dirname(runPaths.acmeAccountKey)])
    expect(hidden).toContain(`-${path}`);
});

onPosix("the light", () => {
  const led = (name: string, file: string) => readFile(join(folder, name, file), "utf8");
  const make = async (name: string) => {
    await mkdir(join(folder, name));
    for (const file of ["trigger", "delay_on", "delay_off"]) await writeFile(join(folder, name, file), "");
  };

  it("beats like a heart while all is well, and blinks slowly when not", async () => {
    await make("ACT");
    await make("PWR");
    expect(run("light", ["healthy", folder])).toEqual({ status: 0, stderr: "" });
    expect(await led("ACT", "trigger")).toBe("heartbeat\n");
    expect(run("light", ["attention", folder])).toEqual({ status: 0, stderr: "" });
    expect([
      await led("ACT", "trigger"),
      await led("ACT", "delay_on"),
      await led("ACT", "delay_off"),
    ]).toEqual(["timer\n", "1000\n", "1000\n"]);
    expect(await led("PWR", "trigger")).toBe("");
  });

  it("is the only one there is on a Pi 400", async () => {
    await make("PWR");
    run("light", ["attention", folder]);
    expect(await led("PWR", "trigger")).toBe("timer\n");
  });

  it("is nothing that other machines have", () => {
    expect(run("light", ["attention", folder])).toEqual({ status: 0, stderr: "" });
  });
});

onPosix("a look", () => {
  /** Answers of stat: free blocks, blocks, block size, free files. */
  let disk = "900000 1000000 4096 900000";
  let states = "active\\nactive";
  const settings = parseRelayConfig('domain = "chat.example.org"\n', "relay.toml");
  const look = async () => {
    const programs = {
      systemctl: `printf '${states}\\n'; exit 3`,
      ip: "printf '2: eth0 inet 192.0.2.5/24 brd x\\n2: eth0 inet6 2001:db8::5/64 scope global\\n'",
      // Of a file, its number says that it is another one.
      stat: `case $1 in --file-system) echo ${disk} ;; *) for f; do :; done; ls -id "$f" ;; esac`,
      findmnt: "exit 1",
    };
    for (const [name, body] of Object.entries(programs)) {
      await writeFile(join(folder, "bin", name), `#!/bin/sh\n${body}\n`);
      await chmod(join(folder, "bin", name), 0o755);
    }
    const result = run("look", [folder], { ...process.env, PATH: `${folder}/bin:${process.env.PATH}` });
    expect(result.stderr).toBe("");
    return result.status === 0;
  };
  const seen = () => readFile(join(folder, `${runPaths.state}.new`), "utf8");
  /** What `show` does at its end. */
  const shown = async () => writeFile(join(folder, runPaths.state), await seen());

  beforeEach(async () => {
    [disk, states] = ["900000 1000000 4096 900000", "active\\nactive"];
    await mkdir(join(folder, "bin"));
    await mkdir(join(folder, "run/homing"), { recursive: true });
    await writeFile(join(folder, runPaths.room), roomFile(settings));
  });

  it("sees units and addresses, and whether they are others than shown", async () => {
    expect(await look()).toBe(true);
    expect(await seen()).toBe(
      "unit a.service active\nunit b.service active\naddress 192.0.2.5\naddress 2001:db8::5\n",
    );
    // Not shown yet: again.
    expect(await look()).toBe(true);
    await shown();
    expect(await look()).toBe(false);
    states = "active\\nfailed";
    expect(await look()).toBe(true);
    expect(await seen()).toContain("unit b.service failed\n");
  });

  it("sees that a problem is another one, and opens nothing that a service put there", async () => {
    const problem = join(folder, runPaths.certificateProblem);
    const line = async () => (await seen()).split("\n").find((one) => one.startsWith("certificate "));
    await mkdir(dirname(problem), { recursive: true });
    await writeFile(problem, "Forward port 80.\n");
    await look();
    const first = await line();
    expect(first).toBeDefined();
    await look();
    expect(await line()).toBe(first);
    // Whoever opens a pipe waits for somebody who writes.
    expect(spawnSync("mkfifo", [`${problem}.new`]).status).toBe(0);
    await rename(`${problem}.new`, problem);
    await look();
    expect(await line()).not.toBe(first);
  });

  it("sees that the canary has told nothing new for half an hour, whatever the clock says", async () => {
    const verdict = join(folder, runPaths.canaryVerdict);
    const lookAt = async (uptime: number) => {
      await writeFile(join(folder, "proc/uptime"), `${uptime}.25 1000.00\n`);
      await look();
      return (await seen()).split("\n").includes("canary-old");
    };
    const tell = async () => {
      await writeFile(`${verdict}.new`, "{}");
      await rename(`${verdict}.new`, verdict);
    };
    await mkdir(join(folder, "proc"));
    await mkdir(dirname(verdict), { recursive: true });
    // Not before there are settings.
    expect([await lookAt(20), await lookAt(9000)]).toEqual([false, false]);
    await writeFile(join(folder, runPaths.relayConfig), "{}");
    // None since the start.
    expect([await lookAt(9020), await lookAt(10_819), await lookAt(10_820)]).toEqual([false, false, true]);
    await tell();
    expect([await lookAt(10_840), await lookAt(12_639), await lookAt(12_640)]).toEqual([false, false, true]);
    await rm(verdict);
    expect(await lookAt(12_660)).toBe(false);
  });

  it("sees that nothing old is deleted any more, once it had the time to, and that some of it could not be", async () => {
    const state = join(folder, reaperStatePath);
    const line = async (uptime: number) => {
      await writeFile(join(folder, "proc/uptime"), `${uptime}.25 1000.00\n`);
      await look();
      return (await seen()).split("\n").filter((one) => one.startsWith("reaper "));
    };
    const run = async (daysAgo: number) => {
      await writeFile(`${state}.new`, "{}");
      const time = Date.now() / 1000 - daysAgo * 86_400;
      await utimes(`${state}.new`, time, time);
      await rename(`${state}.new`, state);
    };
    await mkdir(join(folder, "proc"));
    await mkdir(dirname(state), { recursive: true });
    await writeFile(join(folder, runPaths.relayConfig), "{}");
    expect([await line(20), await line(28_819), await line(28_820)]).toEqual([[], [], ["reaper old"]]);
    // More and less than three days ago, and by a clock that was ahead.
    await run(3.1);
    expect([await line(30_000), await line(58_800)]).toEqual([[], ["reaper old"]]);
    await run(2.9);
    expect([await line(60_000), await line(90_000)]).toEqual([[], []]);
    await run(-400);
    expect([await line(91_000), await line(130_000)]).toEqual([[], []]);
    await mkdir(dirname(join(folder, runPaths.reaperFailed)), { recursive: true });
    await writeFile(join(folder, runPaths.reaperFailed), "");
    expect(await line(130_020)).toEqual(["reaper failed"]);
  });

  it.each([
    // 4 GB: sign-up wants 1 GB, mail 8 messages of the largest size (250 MB).
    ["244141 1000000 4096 900000", ""],
    ["244140 1000000 4096 900000", "room no-sign-up\n"],
    ["244141 1000000 4096 19999", "room no-sign-up\n"],
    ["61000 1000000 4096 900000", "room none\n"],
    // A card of 2 GB: sign-up wants 40 % of what is left of it.
    ["80000 200000 4096 200000", ""],
    ["79999 200000 4096 200000", "room no-sign-up\n"],
  ])("sees how much room there is: %s", async (answer, line) => {
    disk = answer;
    await look();
    expect((await seen()).split("address 2001:db8::5\n")[1]).toBe(line);
  });
});
