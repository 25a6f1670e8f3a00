/** `./homing wifi`. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { createRelayFolder, readRelayFolder } from "../../../installer/relay-folder.ts";
import { runHoming } from "../../support/command-io.ts";

let scratch: string;
let folder: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-wifi-command-"));
  folder = join(scratch, "relay");
  await createRelayFolder(folder, "chat.example.org");
});
afterAll(() => rm(scratch, { recursive: true }));

beforeEach(() => {
  vi.stubEnv("HOMING_WIFI_PASSWORD", "password");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

describe("./homing wifi", () => {
  it("sets a network whose key goes along into the image, and takes both away again", async () => {
    const { code, stdout, stderr } = await runHoming(["wifi", folder, "IEEE", "--country", "DE"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("joins the Wi-Fi network “IEEE”");
    const { config, files } = await readRelayFolder(folder);
    expect(config.wifi).toMatchObject({ network: "IEEE", country: "DE", hidden: false });
    expect(Buffer.from(files.get("keys/wifi-password.txt")!).toString()).toMatch(/^f42c6fc5[0-9a-f]{56}\n$/);
    expect((await runHoming(["wifi", folder, "--none"])).code).toBe(0);
    expect([...(await readRelayFolder(folder)).files.keys()]).not.toContain("keys/wifi-password.txt");
  });

  it.each([
    [["--country", "DE"], 2, "needs the name of a network"],
    [["IEEE"], 2, "needs the country"],
    [["--none", "--country", "DE"], 2, "do not go with it"],
    [["--none", "--hidden"], 2, "do not go with it"],
    [["--none", "--open"], 2, "do not go with it"],
    [["IEEE", "two", "--country", "DE"], 2, "in quotes when it has spaces"],
    [["IEEE", "--country", "UK"], 1, "Great Britain is GB"],
    [["x".repeat(33), "--country", "DE"], 1, "this one has 33"],
  ] as const)("refuses %j", async (args, exitCode, words) => {
    const before = await readFile(join(folder, "relay.toml"), "utf8");
    const { code, stderr } = await runHoming(["wifi", folder, ...args]);
    expect(code).toBe(exitCode);
    expect(stderr).toContain(words);
    expect(await readFile(join(folder, "relay.toml"), "utf8")).toBe(before);
  });

  it("asks for the password where it is not given, and says how to give it where nobody can be asked", async () => {
    vi.stubEnv("HOMING_WIFI_PASSWORD", "");
    const { code, stderr } = await runHoming(["wifi", folder, "IEEE", "--country", "DE"]);
    expect(code).toBe(1);
    expect(stderr).toContain("HOMING_WIFI_PASSWORD");
  });

  it.each([["IEEE", "--country", "DE"], ["--none"]])(
    "looks for the folder before it asks: %s",
    async (...args) => {
      vi.stubEnv("HOMING_WIFI_PASSWORD", "");
      const missing = join(scratch, "missing");
      const { code, stdout, stderr } = await runHoming(["wifi", missing, ...args]);
      expect([code, stdout, stderr]).toEqual([
        ...[1, ""],
        `homing: ${missing}/relay.toml is missing. Make the folder with ./homing init DOMAIN --dir ${missing}\n`,
      ]);
    },
  );
});
