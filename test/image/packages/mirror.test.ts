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
const choose = (mirror?: string, env: Record<string, string> = {}) =>
  chooseMirrors({ mirror, env, aptDirectory });
const defaults = {
  debian: "https://ftp.debian.org/debian",
  security: "https://security.debian.org/debian-security",
};

describe("chooseMirrors", () => {
  it("takes the built-in mirrors where nothing says otherwise", async () => {
    expect(await choose()).toEqual(defaults);
    expect(await chooseMirrors({ env: {}, aptDirectory: join(aptDirectory, "missing") })).toEqual(defaults);
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
        "deb [arch=amd64 signed-by=/k.gpg] http://one.example/debian/ trixie main # here\n" +
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
      "Types: deb\nURIs: http://off.example/debian\nEnabled: no\n\n" +
        "Types: deb\n# a remark\nURIs: http://on.example/debian\nSuites: trixie\n\n" +
        "Types: deb\nURIs: http://security.debian.org/\nSuites: trixie-security\n",
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

  it("lets a malformed file of the host be", async () => {
    write("sources.list.d/broken.sources", "this is nothing\n");
    expect(await choose()).toEqual(defaults);
  });

  it.each(["ftp://x/debian", "deb.example/debian", "/srv/mirror"])("refuses %s as a mirror", async (url) => {
    await expect(choose(url)).rejects.toThrow(`--mirror is "${url}"`);
    await expect(choose(undefined, { DEBIAN_MIRROR: url })).rejects.toThrow("DEBIAN_MIRROR is");
  });
});
