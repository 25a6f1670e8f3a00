/** homing-ctl as its operator sees it, beside a control socket of the real account service. */
import decodeQR from "qr/decode.js";
import { describe, expect, it } from "vitest";
import { now, useCtl } from "./running-ctl.ts";

describe("homing-ctl", () => {
  const at = useCtl();

  const run = async (...args: string[]) => {
    const end = await at.run(...args);
    // The console shows how one signs up.
    const hasChanged = end.code === 0 && args[0] === "sign-up" && /^[a-z]/.test(args[1] ?? "");
    expect(at.renewals).toBe(hasChanged ? 1 : 0);
    return end;
  };

  it("shows and changes who may make an account", async () => {
    expect(await run("sign-up")).toEqual({
      code: 0,
      stdout: "Sign-up is open: whoever finds the relay gets an account.\n",
      stderr: "",
    });
    expect(JSON.parse((await run("sign-up", "closed", "--json")).stdout)).toEqual({
      mode: "closed",
      settings: "open",
    });
    const { stdout } = await run("sign-up");
    expect(stdout).toContain("closed: nobody");
    expect(stdout).toContain("relay.toml says “open”");
    expect(at.store.readModeChoice()).toEqual({ mode: "closed", settingsMode: "open" });
  });

  it("makes an invitation with a link and the same link as QR code, and forgets the link", async () => {
    await run("sign-up", "invite");
    const { code, stdout } = await run("invite", "create", "--uses", "3", "--expires", "7d", "--note", "Ada");
    expect(code).toBe(0);
    const [link = ""] = stdout.split("\n");
    expect(link).toMatch(/^https:\/\/chat\.example\.org\/i\/[\w-]{24}$/);
    expect(decodeQR(picture(stdout))).toBe(link);
    expect(stdout).toContain("Invitation 1: good for 3 of 3 accounts until 2027-01-22 08:00 UTC.\n");
    expect(at.store.invites.find(link.slice(-24), now)).toBe("good");
    const listed = (await run("invite", "list")).stdout;
    expect(listed).toBe(
      "1  made 2027-01-15 08:00 UTC  good for 3 of 3 accounts until 2027-01-22 08:00 UTC  Ada\n",
    );
    expect((await run("invite", "revoke", "1")).stdout).toBe("Invitation 1 is withdrawn.\n");
    expect((await run("invite", "list")).stdout).toBe("There are no invitations.\n");
    expect(await run("invite", "revoke", "1")).toEqual({
      code: 1,
      stdout: "",
      stderr: "homing-ctl: there is no invitation 1\n",
    });
  });

  it("speaks JSON to programs", async () => {
    const created = JSON.parse((await run("invite", "create", "--json")).stdout);
    expect(created).toEqual({
      id: 1,
      uses: 1,
      usesLeft: 1,
      expires: null,
      note: "",
      created: now,
      token: expect.stringMatching(/^[\w-]{24}$/),
      link: `https://chat.example.org/i/${created.token}`,
    });
    const { token, link, ...listed } = created;
    expect(JSON.parse((await run("invite", "list", "--json")).stdout)).toEqual([listed]);
    expect(JSON.parse((await run("invite", "revoke", "1", "--json")).stdout)).toEqual({ result: "ok" });
  });

  it("says that an invitation does not count while nobody needs one", async () => {
    expect((await run("invite", "create")).stdout).toContain("nobody needs an invitation");
    await run("sign-up", "closed");
    expect((await run("invite", "create")).stdout).toContain("no invitation counts");
  });

  it.each([
    [["sign-upp"], "Did you mean “sign-up”?"],
    [["--verbose"], "there is no command"],
    [["sign-up", "Open"], "there is no mode “Open”"],
    [["sign-up", "open", "closed"], "one mode"],
    [["sign-up", "--force"], "--force"],
    [["invite"], "say create, list or revoke"],
    [["invite", "delete"], "there is no “delete”"],
    [["invite", "create", "--uses", "many"], "--uses takes a number"],
    [["invite", "create", "--expires", "tomorrow"], "like 30m"],
    [["invite", "create", "--note", "for", "Ada"], "needs quotes"],
    [["invite", "list", "--uses", "3"], "are for create"],
    [["invite", "revoke"], "needs the number"],
    [["invite", "revoke", "all"], "needs the number"],
  ])("refuses %j, says why and does nothing", async (args, why) => {
    const { code, stdout, stderr } = await run(...args);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain(why);
    expect(at.store.invites.list()).toEqual([]);
  });

  it("gives on what the service refuses", async () => {
    const { code, stderr } = await run("invite", "create", "--uses", "200000");
    expect(code).toBe(1);
    expect(stderr).toContain("uses: 1 to 100000");
    expect((await run("invite", "create", "--expires", "0m")).stderr).toContain("from now on");
  });

  it("says where to look when the service is not there", async () => {
    at.server.close();
    at.server.closeAllConnections();
    const { code, stderr } = await run("sign-up");
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^homing-ctl: the account service cannot be reached .* `systemctl status homing-auth/,
    );
  });

  it.each([[["--help"]], [[]], [["invite", "--help"]], [["sign-up", "-h"]], [["--version"]]])(
    "answers %j",
    async (args) => {
      const { code, stdout } = await run(...args);
      expect(code).toBe(0);
      expect(stdout).toContain("homing-ctl ");
    },
  );
});

/** The half blocks of a terminal as a picture, eight pixels a module. */
function picture(text: string): { width: number; height: number; data: Uint8Array } {
  const lines = text.split("\n").filter((line) => /^[█▀▄ ]{20,}$/.test(line));
  const rows = lines.flatMap((line) => [
    [...line].map((block) => block === "█" || block === "▀"),
    [...line].map((block) => block === "█" || block === "▄"),
  ]);
  const scale = 8;
  const [width, height] = [rows[0]!.length * scale, rows.length * scale];
  const data = new Uint8Array(width * height * 4);
  for (let i = 0; i < width * height; i++) {
    const isLight = rows[Math.floor(i / width / scale)]![Math.floor((i % width) / scale)]!;
    data.fill(isLight ? 255 : 0, i * 4, i * 4 + 3);
    data[i * 4 + 3] = 255;
  }
  return { width, height, data };
}
