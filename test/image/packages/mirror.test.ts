/** Tests of the choice of a mirror. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { chooseMirrors } from "../../../image/packages/mirror.ts";

let aptDirectory: string;
beforeEach(() => {
  aptDirectory = mkdtempSync(join(tmpdir(), "homing-apt-"));
  mkdirSync(join(aptDirectory, "sources.list.d"));
});
afterEach(() => rmSync(aptDirectory, { recursive: true }));

const write = (name: string, text: string) => writeFileSync(join(aptDirectory, name), text);
/** The addresses alone. */
async function choose(mirror?: string, env: Record<string, string> = {}) {
  const { debian, security } = await chooseMirrors({ mirror, env, aptDirectory });
  return { debian, security };
}
const defaults = {
  debian: "https://ftp.debian.org/debian",
  security: "https://security.debian.org/debian-security",
};

describe("chooseMirrors", () => {
  it("takes the built-in mirrors where nothing says otherwise", async () => {
    expect(await choose()).toEqual(defaults);
    const from = "Homing's default mirror";
    expect(await chooseMirrors({ env: {}, aptDirectory: join(aptDirectory, "missing") })).toEqual({
      ...{ ...defaults, from: { debian: from, security: from }, further: {} },
    });
  });

  it("prefers the command line to the environment to the host's apt", async () => {
    write("sources.list", "deb http://apt.example/debian trixie main\n");
    expect((await choose()).debian).toBe("http://apt.example/debian");
    const env = {
      DEBIAN_MIRROR: "http://env.example/debian/",
      DEBIAN_SECURITY_MIRROR: "http://env.example/sec",
    };
    expect(await choose(undefined, env)).toEqual({
      debian: "http://env.example/debian",
      security: "http://env.example/sec",
    });
    expect(await choose("https://cli.example/debian", env)).toEqual({
      debian: "https://cli.example/debian",
      security: "http://env.example/sec",
    });
  });

  it("reads one-line sources with options and skips comments and sources of source code", async () => {
    write(
      "sources.list",
      "# deb http://old.example/debian x main\ndeb-src http://src.example/debian x main\n" +
        "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://one.example/debian/ trixie main # here\n" +
        "deb http://two.example/debian-security trixie-security main\n",
    );
    expect(await choose()).toEqual({
      debian: "http://one.example/debian",
      security: "http://two.example/debian-security",
    });
  });

  it("reads sources in deb822 form and skips disabled ones", async () => {
    write(
      "sources.list.d/debian.sources",
      "Types: deb\nURIs: http://off.example/debian\nSuites: trixie\nComponents: main\nEnabled: no\n\n" +
        "Types: deb-src\nURIs: http://src.example/debian\nSuites: trixie\nComponents: main\n\n" +
        "Types: deb deb-src\n# a remark\nURIs: http://on.example/debian\nSuites: trixie trixie-updates\n" +
        "Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.pgp\n\n" +
        "Types: deb\nURIs: http://security.debian.org/\nSuites: trixie-security\nComponents: main\n",
    );
    expect(await choose()).toEqual({
      debian: "http://on.example/debian",
      security: "http://security.debian.org",
    });
  });

  it("takes no archive of another system for Debian's", async () => {
    write(
      "sources.list",
      "deb http://archive.ubuntu.example/ubuntu noble main\ndeb cdrom:[Debian]/debian trixie main\n",
    );
    write("sources.list.d/raspi.list", "deb http://archive.raspberrypi.com/debian/ trixie main\n");
    write("sources.list.d/tor.list", "deb tor+http://x.onion/debian trixie main\n");
    expect(await choose()).toEqual(defaults);
  });

  it.each([
    ["Yarn", "deb https://dl.yarnpkg.com/debian/ stable main"],
    [
      "Yarn, with its key",
      "deb [signed-by=/usr/share/keyrings/yarn.gpg] https://dl.yarnpkg.com/debian stable main",
    ],
    ["VirtualBox", "deb https://download.virtualbox.org/virtualbox/debian bookworm contrib"],
    ["Docker", "deb [arch=amd64] https://download.docker.com/linux/debian bookworm stable"],
    [
      "GitLab",
      "deb [signed-by=/usr/share/keyrings/gitlab.gpg] https://packages.gitlab.com/gitlab/debian bookworm main",
    ],
    ["an old Debian", "deb http://archive.debian.org/debian buster main"],
    ["another system", "deb http://mirror.example/debian noble main"],
  ])("takes no archive that is only named so for Debian's: %s", async (_whose, line) => {
    write("sources.list", `${line}\n`);
    expect(await choose()).toEqual(defaults);
  });

  it("takes none that only Signed-By tells from Debian's", async () => {
    const key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEX\n";
    const source = "Types: deb\nURIs: https://packages.example/debian\nSuites: trixie\nComponents: main\n";
    write("sources.list.d/a.sources", source + key);
    expect(await choose()).toEqual(defaults);
    write("sources.list.d/a.sources", source);
    expect((await choose()).debian).toBe("https://packages.example/debian");
  });

  it.each([
    ["bookworm", ["deb http://near.example/debian bookworm main contrib"]],
    ["bullseye-updates", ["deb http://near.example/pub/debian bullseye-updates main"]],
    ["sid", ["deb http://near.example/debian sid main"]],
    ["testing", ["deb http://ftp.de.debian.org/debian testing main"]],
    [
      "stable",
      ["deb http://near.example/debian/ stable main", "deb http://near.example/debian stable-updates main"],
    ],
  ])(
    "takes the mirror of a host with %s, whatever lies beside it, and says whose it is",
    async (_suite, lines) => {
      write("sources.list", `deb https://dl.yarnpkg.com/debian/ stable main\n`);
      write("sources.list.d/near.list", `${lines.join("\n")}\n`);
      const { debian, ...more } = await chooseMirrors({ env: {}, aptDirectory });
      expect(debian).toBe(lines[0]!.split(" ")[1]!.replace(/\/$/, ""));
      expect(more).toEqual({
        security: defaults.security,
        from: {
          debian: `the mirror named in ${join(aptDirectory, "sources.list.d/near.list")}`,
          security: "Homing's default mirror",
        },
        // Nobody asked for it: what it lacks is fetched elsewhere.
        further: { debian: defaults.debian },
      });
    },
  );

  it("asks no other mirror in the place of one that was given", async () => {
    write("sources.list", "deb http://near.example/debian trixie main\n");
    const env = { DEBIAN_SECURITY_MIRROR: "http://env.example/sec" };
    expect(await chooseMirrors({ mirror: "http://cli.example/debian", env, aptDirectory })).toMatchObject({
      from: {
        debian: "the mirror given by --mirror",
        security: "the mirror given by DEBIAN_SECURITY_MIRROR",
      },
      further: {},
    });
  });

  it("lets a malformed file of the host be", async () => {
    write("sources.list.d/broken.sources", "this is nothing\n");
    expect(await choose()).toEqual(defaults);
  });

  it("shows no password of a mirror that it refuses", async () => {
    await expect(choose("ftp://bob:s3cr@t@x/debian")).rejects.toThrow('--mirror is "ftp://x/debian"');
  });

  it.each(["ftp://x/debian", "deb.example/debian", "/srv/mirror"])("refuses %s as a mirror", async (url) => {
    await expect(choose(url)).rejects.toThrow(`--mirror is "${url}"`);
    await expect(choose(undefined, { DEBIAN_MIRROR: url })).rejects.toThrow("DEBIAN_MIRROR is");
  });
});
