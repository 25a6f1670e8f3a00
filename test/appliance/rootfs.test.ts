import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { homingUnits, relayUnits } from "../../appliance/files/units.ts";
import { runPaths } from "../../appliance/layout.ts";
import { rootfsSpec } from "../../appliance/rootfs.ts";
import { bundlePrograms } from "../../image/rootfs/runtime.ts";

const spec = rootfsSpec();
const units = homingUnits();

describe("the root file system of a relay", () => {
  it("has users with ids of their own, in the range that is ours", () => {
    const ids = spec.users.map((user) => user.id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id >= 900 && id < 970).toBe(true);
  });

  it("names every file once, by an absolute path", () => {
    const paths = [...spec.files, ...spec.links].map((file) => file.path);
    expect(new Set(paths).size).toBe(paths.length);
    for (const path of paths) expect(path).toMatch(/^\/[^/]+(\/[^/]+)+$/);
  });

  it("has a source for every program, and a program for every unit or program that starts one", () => {
    const root = join(import.meta.dirname, "..", "..");
    for (const bundle of spec.bundles) expect(existsSync(join(root, bundle.entry)), bundle.entry).toBe(true);
    const entries = spec.bundles.map((bundle) => readFileSync(join(root, bundle.entry), "utf8"));
    const workers = entries.flatMap((text) =>
      [...text.matchAll(/join\(programDirectory, "([\w-]+)\.mjs"\)/g)].map((match) => match[1]),
    );
    const started = Object.values(units).flatMap((text) =>
      [
        ...text.matchAll(
          /^ExecStart=(?:\/usr\/bin\/flock \S+ )?\S+(?: --\S+)* \/usr\/lib\/homing\/(\w+)\.mjs(?: %i)?$/gm,
        ),
      ].map((match) => match[1]),
    );
    const commands = spec.files.flatMap(({ content }) =>
      [...String(content).matchAll(/^exec \S+ \/usr\/lib\/homing\/(\w+)\.mjs "\$@"$/gm)].map(
        (match) => match[1],
      ),
    );
    expect([...started, ...workers, ...commands].sort()).toEqual(
      spec.bundles.map((bundle) => bundle.name).sort(),
    );
  });

  it("starts with small programs, for each is read and compiled before the relay is ready", async () => {
    // Not those that a timer or the operator starts.
    const atStart = spec.bundles.filter(
      ({ name }) => !["certificates", "ctl", "dkim", "probe"].includes(name),
    );
    const programs = await bundlePrograms(atStart, join(import.meta.dirname, "..", ".."));
    const kilobytes = (name: string) => Math.ceil(programs.get(name)!.content.length / 1000);
    const large = atStart
      .map(({ name }) => ({ name, size: kilobytes(name) }))
      .filter(({ size }) => size > 100);
    // Settings are read with zod; pages are made of Markdown; a TLS client, an LMTP server, spare stores.
    const most: Record<string, number> = { boot: 300, web: 200, courier: 210 };
    for (const { name, size } of large) expect(size, name).toBeLessThan(most[name] ?? 100);
  });

  it("enables and requires only units that exist", () => {
    const ours = new Set(Object.keys(units));
    const homing = [...spec.enable, ...relayUnits].filter((unit) => unit.startsWith("homing"));
    for (const unit of homing) expect(ours, unit).toContain(unit);
    for (const unit of spec.mask) expect(spec.enable).not.toContain(unit);
  });

  it("enables every socket of its services", () => {
    const sockets = Object.keys(units).filter((unit) => unit.endsWith(".socket"));
    for (const socket of sockets) expect(spec.enable).toContain(socket);
  });
});

describe("the units", () => {
  const services = Object.entries(units).filter(([name]) => name.endsWith(".service"));
  const asksTheWorld = [
    "homing-dkim.service",
    "homing-certificates.service",
    "homing-courier.service",
    "homing-probe.service",
    "homing-turn.service",
  ];

  it.each(services)("%s runs in a sandbox", (name, text) => {
    for (const line of [
      "NoNewPrivileges=yes",
      "ProtectSystem=strict",
      "PrivateDevices=yes",
      "RestrictNamespaces=yes",
      "SystemCallArchitectures=native",
      // Name servers, certificate authorities, other relays, the notification proxy and ends of calls are wherever they are.
      ...(asksTheWorld.includes(name) ? [] : ["IPAddressDeny=any"]),
    ]) {
      expect(text.split("\n")).toContain(line);
    }
    expect(text).toMatch(/^SystemCallFilter=~@resources/m);
  });

  it.each(["auth", "milter", "courier"])(
    "homing-%s starts after the configuration, as a user of its own, again and again",
    (name) => {
      const text = units[`homing-${name}.service`]!;
      expect(text).toMatch(/^Requires=homing-configure\.service /m);
      expect(text).toMatch(/^After=homing-configure\.service /m);
      expect(text).toMatch(new RegExp(`^User=homing-${name}$`, "m"));
      expect(text).toMatch(/^CapabilityBoundingSet=$/m);
      expect(text).toMatch(/^Restart=always$/m);
      expect(text).toMatch(/^RestartMaxDelaySec=/m);
      expect(text).toMatch(/^StartLimitIntervalSec=0$/m);
      expect(text).toMatch(/^InaccessiblePaths=.*-\/data\/relay\b/m);
    },
  );

  it("lets only Postfix and the mail user reach the sockets of the services", () => {
    const group = (unit: string) => /^SocketGroup=(.*)$/m.exec(units[unit]!)?.[1];
    expect(group("homing-milter.socket")).toBe("postfix");
    expect(group("homing-recipients.socket")).toBe("postfix");
    expect(group("homing-door.socket")).toBe("postfix");
    expect(group("homing-metadata.socket")).toBe("vmail");
    expect(group("homing-news.socket")).toBe("homing-courier");
    for (const unit of ["homing-milter.socket", "homing-recipients.socket", "homing-metadata.socket"]) {
      expect(units[unit]).toMatch(/^SocketMode=0660$/m);
    }
    expect(units["homing-milter.socket"]).toContain(`ListenStream=${runPaths.milterSocket}\n`);
  });

  it("loads the closed firewall without waiting for the settings, and theirs once both are there", () => {
    const closed = spec.files.find((file) => file.path.endsWith("nftables.service.d/homing.conf"))!.content;
    expect(closed).not.toContain("homing-configure");
    expect(units["homing-configure.service"]).not.toMatch(/^(Before|After|Wants|Requires)=.*net/m);
    expect(units["homing-firewall.service"]).toMatch(/^After=homing-configure\.service nftables\.service$/m);
  });

  it("configures before mail", () => {
    const postfix = spec.files.find((file) => file.path.endsWith("postfix.service.d/homing.conf"))!.content;
    const dovecot = spec.files.find((file) => file.path.endsWith("dovecot.service.d/homing.conf"))!.content;
    for (const dropIn of [postfix, dovecot]) expect(dropIn).toMatch(/^Requires=homing-configure\.service$/m);
  });

  it("starts what a login needs first, then what a letter needs, then the rest, each with a smaller share", () => {
    const dropIn = (unit: string) =>
      String(spec.files.find((file) => file.path.endsWith(`/${unit}.d/homing.conf`))?.content ?? "");
    const text = (unit: string) => units[unit] ?? dropIn(unit);
    const share = (unit: string) => Number(/^StartupCPUWeight=(\d+)$/m.exec(text(unit))?.[1]);
    const settings = ["homing-configure.service", "nftables.service"];
    const network = ["systemd-networkd.service", "systemd-udevd.service", "systemd-udev-trigger.service"];
    const servers = ["homing-auth.service", "dovecot.service", "homing-firewall.service"];
    const first = [...servers, ...settings, ...network];
    const mail = ["homing-courier.service", "homing-milter.service", "postfix.service"];
    for (const unit of first) {
      expect(text(unit), unit).not.toMatch(/^After=.*homing-login\.service/m);
      expect(share(unit), unit).toBeGreaterThan(100);
    }
    for (const unit of mail) {
      expect(text(unit), unit).toMatch(/^After=.* homing-login\.service$/m);
      expect(share(unit), unit).toBe(100);
    }
    const others = relayUnits.filter((unit) => ![...first, ...mail].includes(unit));
    expect(others.length).toBeGreaterThan(1);
    for (const unit of others) {
      expect(text(unit), unit).toMatch(/^After=.* homing-login\.service postfix\.service$/m);
      expect(share(unit), unit).toBeLessThan(100);
    }
    // Where nobody can log in, the rest comes all the same.
    expect(text("homing-login.service")).toMatch(/^ExecStart=-\/usr\/bin\/timeout \d+ /m);
  });

  it("gives the network no start without the firewall", () => {
    const dropIn = spec.files.find((file) => file.path.endsWith("systemd-networkd.service.d/homing.conf"))!;
    expect(dropIn.content).toMatch(/^Requires=nftables\.service$/m);
    expect(dropIn.content).toMatch(/^After=nftables\.service$/m);
  });
});

describe("SSH", () => {
  it("takes keys only", () => {
    const text = spec.files.find((file) => file.path === "/etc/ssh/sshd_config")!.content as string;
    for (const line of [
      "AuthenticationMethods publickey",
      "PasswordAuthentication no",
      "KbdInteractiveAuthentication no",
      "PermitEmptyPasswords no",
      "PermitRootLogin prohibit-password",
    ]) {
      expect(text.split("\n")).toContain(line);
    }
  });

  it("does not start without a key", () => {
    const dropIn = spec.files.find((file) => file.path.endsWith("ssh.service.d/homing.conf"))!;
    expect(dropIn.content).toContain("ConditionPathExists=/etc/ssh/authorized_keys\n");
  });
});
