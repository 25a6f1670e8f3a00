/** What counts as a line of an SSH public key file (appliance/ssh-key.ts). */
import { generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { sshPublicKeyProblem } from "../../appliance/ssh-key.ts";
import { ed25519PublicKeyLine } from "../support/ssh-key.ts";

const good = ed25519PublicKeyLine("me@laptop");

describe("sshPublicKeyProblem", () => {
  it("accepts a key with a comment, with several words of comment, and without", () => {
    expect(sshPublicKeyProblem(good)).toBeUndefined();
    expect(sshPublicKeyProblem(`${good} of the year`)).toBeUndefined();
    expect(sshPublicKeyProblem(good.split(" ").slice(0, 2).join(" "))).toBeUndefined();
  });

  it("tells somebody who gives the private key to give the public one", () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    expect(sshPublicKeyProblem(pem.split("\n")[0] ?? "")).toContain("give the public one");
  });

  it.each([
    ["options in front", `command="sh" ${good}`, "must begin with its type"],
    ["an unknown type", good.replace("ssh-ed25519 ", "ssh-dss "), "found “ssh-dss”"],
    ["a line break, which would smuggle in a second key", `${good}\n${good}`, "line break"],
    ["text that is not Base64", "ssh-ed25519 ÄÖÜ me", "not Base64"],
    ["a missing key", "ssh-ed25519", "not Base64"],
    ["a cut key", good.slice(0, 28), "damaged or cut off"],
    ["another type in front than inside", good.replace("ssh-ed25519 ", "ssh-rsa "), "damaged"],
    ["an endless line", `${good}${"x".repeat(9000)}`, "at most 8192"],
  ])("refuses %s", (_, line, reason) => {
    expect(sshPublicKeyProblem(line)).toContain(reason);
  });
});
