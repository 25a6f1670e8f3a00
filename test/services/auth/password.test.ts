import { describe, expect, it } from "vitest";
import { createPasswordHasher, deriveInPool, type Parameters } from "../../../services/auth/password.ts";

const { hash: hashPassword, verify: verifyPassword, spend, isOutdated } = createPasswordHasher();

describe("passwords", () => {
  it("verifies the right one and no other", async () => {
    const stored = await hashPassword("correct horse ünï 🐴");
    expect(await verifyPassword("correct horse ünï 🐴", stored)).toBe(true);
    expect(await verifyPassword("correct horse ünï 🐎", stored)).toBe(false);
    expect(await verifyPassword("", stored)).toBe(false);
  });

  it("stores the parameters and a salt of its own, never the password", async () => {
    const [first, second] = await Promise.all([hashPassword("same-password"), hashPassword("same-password")]);
    expect(first).toMatch(/^\$argon2id\$v=19\$m=2048,t=3,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(first).not.toBe(second);
  });

  it("verifies a hash of an earlier version (scrypt; RFC 7914 §12, third vector's inputs at N=16384)", async () => {
    // scrypt("pleaseletmein", "SodiumChloride", N=16384, r=8, p=1), first 32 of 64 bytes differ with length,
    // so the whole 64 bytes are stored.
    const hash = Buffer.from(
      "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2" +
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
      "hex",
    ).toString("base64");
    const salt = Buffer.from("SodiumChloride").toString("base64");
    const stored = `$scrypt$ln=14,r=8,p=1$${salt.replace(/=+$/, "")}$${hash.replace(/=+$/, "")}`;
    expect(await verifyPassword("pleaseletmein", stored)).toBe(true);
    expect(await verifyPassword("pleaseletmeout", stored)).toBe(false);
  });

  it("verifies what another implementation made (the argon2 program of the Debian package)", async () => {
    // printf correct-horse | argon2 somesaltsomesalt -id -k 4096 -t 2 -p 1 -l 32 -e
    const stored =
      "$argon2id$v=19$m=4096,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$DyxkSvzUib2vGOEgcHsVr5XBp7TfkV9yNBU9So6/gZE";
    expect(await verifyPassword("correct-horse", stored)).toBe(true);
    expect(await verifyPassword("correct-house", stored)).toBe(false);
  });

  it("spends on nothing what a wrong password costs: one derivation at the same cost", async () => {
    const costs: (Parameters & { length: number })[] = [];
    const hasher = createPasswordHasher((password, salt, length, parameters) => {
      costs.push({ ...parameters, length });
      return deriveInPool(password, salt, length, parameters);
    });
    const stored = await hasher.hash("correct-horse");
    expect(await hasher.verify("wrong-horse", stored)).toBe(false);
    await hasher.spend("wrong-horse");
    expect(costs).toHaveLength(3);
    expect(new Set(costs.map((cost) => JSON.stringify(cost))).size).toBe(1);
  });

  it("knows which hashes cost another time than new ones", async () => {
    const current = await hashPassword("correct-horse");
    expect(isOutdated(current)).toBe(false);
    expect(isOutdated(current.replace("t=3", "t=2"))).toBe(true);
    expect(isOutdated(current.replace("m=2048", "m=4096"))).toBe(true);
    expect(isOutdated(`$scrypt$ln=13,r=8,p=1$${"A".repeat(22)}$${"A".repeat(43)}`)).toBe(true);
    expect(() => isOutdated("plain")).toThrow("damaged");
  });

  it.each([
    "",
    "plain",
    "$scrypt$ln=13,r=8,p=1$short$short",
    `$scrypt$ln=40,r=8,p=1$${"A".repeat(22)}$${"A".repeat(43)}`,
    `$scrypt$ln=13,r=99,p=1$${"A".repeat(22)}$${"A".repeat(43)}`,
    `$scrypt$ln=0,r=8,p=1$${"A".repeat(22)}$${"A".repeat(43)}`,
    `$scrypt$ln=13,r=8,p=1$${"A".repeat(22)}$${"A".repeat(43)}$more`,
    `$argon2id$v=19$m=999999,t=1,p=1$${"A".repeat(22)}$${"A".repeat(43)}`,
    `$argon2id$v=19$m=7,t=1,p=1$${"A".repeat(22)}$${"A".repeat(43)}`,
    `$argon2id$v=19$m=2048,t=99,p=1$${"A".repeat(22)}$${"A".repeat(43)}`,
    `$argon2id$v=19$m=2048,t=0,p=1$${"A".repeat(22)}$${"A".repeat(43)}`,
    `$argon2i$v=19$m=2048,t=3,p=1$${"A".repeat(22)}$${"A".repeat(43)}`,
  ])("refuses to verify against a damaged row: %s", async (stored) => {
    await expect(verifyPassword("x", stored)).rejects.toMatchObject({ name: "PasswordFormatError" });
  });

  it("leaves the main thread free while it hashes", async () => {
    let turns = 0;
    let hashing = true;
    const turn = (): void => {
      turns += 1;
      if (hashing) setImmediate(turn);
    };
    setImmediate(turn);
    // Several, for one alone is over before the event loop has turned often.
    await Promise.all(Array.from({ length: 20 }, () => spend("anything")));
    hashing = false;
    expect(turns).toBeGreaterThan(5);
  });
});
