import { describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { connectionHelp, wantedPorts } from "../../../installer/vm/connection-help.ts";
import { ed25519PublicKeyLine } from "../../support/ssh-key.ts";

const plain = parseRelayConfig('domain = "chat.example.org"\n', "relay.toml");
const withKey = { ...plain, ssh: { authorizedKeys: [ed25519PublicKeyLine("me@laptop")] } };

/** As when the first choices are taken on this computer. */
function forwarded(config: Parameters<typeof wantedPorts>[0]) {
  return wantedPorts(config).map(({ what, guestPort }) => ({
    what,
    guestPort,
    hostPort: 40_000 + guestPort,
  }));
}

describe("./homing vm", () => {
  it("forwards SSH of a relay with keys, and gives the command line", () => {
    const forwards = forwarded(withKey);
    expect(forwards.map(({ guestPort }) => guestPort)).toEqual([25, 465, 587, 143, 993, 443, 80, 22]);
    const text = connectionHelp(withKey, forwards);
    expect(text).toContain("  127.0.0.1:40022  → 22  SSH\n");
    expect(text).toContain("\n  ssh -p 40022 -o NoHostAuthenticationForLocalhost=yes root@127.0.0.1\n");
  });

  it("says nothing of SSH for a relay without keys, whose port is closed", () => {
    const forwards = forwarded(plain);
    expect(forwards.map(({ guestPort }) => guestPort)).toEqual([25, 465, 587, 143, 993, 443, 80]);
    expect(connectionHelp(plain, forwards)).not.toMatch(/ssh/i);
  });

  it("cannot know it of an image, and says so", () => {
    const text = connectionHelp(undefined, forwarded(undefined));
    expect(text).toContain("→ 22  SSH, if the relay has keys of administrators\n");
    expect(text).toContain("@DOMAIN?");
  });

  it("gives an address of the web pages that leads somewhere on this computer, and says why a browser warns", () => {
    for (const config of [plain, undefined]) {
      const text = connectionHelp(config, forwarded(config));
      expect(text).toMatch(/^ {2}https:\/\/127\.0\.0\.1:40443\/\nThe browser warns of the certificate/m);
      expect(text).toContain("→ 80  web without TLS, leads to the relay's own name\n");
    }
  });

  it("gives an address that Delta Chat can log in with at the forwarded ports", () => {
    const link = /dclogin:\S+/.exec(connectionHelp(plain, forwarded(plain)))![0];
    expect(link).toMatch(/^dclogin:[0-9a-f]{9}@chat\.example\.org\?p=[\w-]{20}&v=1&/);
    expect(link).toContain("&ih=127.0.0.1&ip=40993&is=ssl&sh=127.0.0.1&sp=40465&ss=ssl&ic=3");
  });

  it.each(["invite", "closed"] as const)("promises no account by logging in where sign-up is %s", (mode) => {
    for (const config of [plain, withKey, undefined]) {
      const text = connectionHelp(config, forwarded(config), mode);
      expect(text).not.toContain("at its first login");
      expect(text).toMatch(/dclogin:NAME@[\w.]+\?p=PASSWORD&v=1&/);
      expect(text).toContain(mode === "closed" ? "Sign-up is closed." : "Sign-up is by invitation");
      expect(text.includes("homing-ctl sign-up open")).toBe(config !== plain);
    }
    const settled = { ...plain, signUp: { ...plain.signUp, mode } };
    expect(connectionHelp(settled, forwarded(settled))).toContain("dclogin:NAME@");
  });
});
