/** `./homing web preview` as a user runs it, and the page files that a relay folder may hold. */
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, get, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { main } from "../../../installer/main.ts";
import { createRelayFolder, readRelayFolder } from "../../../installer/relay-folder.ts";
import { readOperatorPages } from "../../../installer/web-folder.ts";
import { captureStream, runHoming } from "../../support/command-io.ts";
import { waitFor } from "../../support/wait.ts";

let scratch: string;
let folder: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "homing-web-"));
  folder = join(scratch, "relay");
  await createRelayFolder(folder, "chat.example.org");
});
afterEach(() => rm(scratch, { recursive: true }));

async function put(path: string, content: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), content);
}

async function fetchText(url: string): Promise<string> {
  const [response] = (await once(get(url), "response")) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).toString();
}

describe("./homing web preview", () => {
  it("says how a folder that is missing is made", async () => {
    const missing = join(scratch, "missing");
    expect(await runHoming(["web", "preview", missing])).toEqual({
      ...{ code: 1, stdout: "" },
      stderr: `homing: ${missing}/relay.toml is missing. Make the folder with ./homing init DOMAIN --dir ${missing}\n`,
    });
  });

  /** Runs it until `body` is done, then presses Ctrl-C. */
  async function preview(
    args: readonly string[],
    body: (url: string, stderr: () => string) => Promise<void>,
  ) {
    const [stdout, stderr, abort] = [captureStream(), captureStream(), new AbortController()];
    const io = { stdout, stderr, env: process.env, signal: abort.signal };
    const running = main(["web", "preview", folder, ...args], io);
    try {
      await waitFor("the address", 10_000, async () => stdout.text().endsWith("/\n"));
      await body(stdout.text().trim(), stderr.text);
    } finally {
      abort.abort("SIGINT");
    }
    return running;
  }

  it("shows the pages with the operator's own, tells browsers of every change, and ends with Ctrl-C", async () => {
    await put("web/theme.css", "/* ours */");
    const code = await preview(["--port", "0"], async (url, stderr) => {
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
      expect(await fetchText(`${url}theme.css`)).toBe("/* ours */");
      expect(await fetchText(`${url}en/`)).toContain("chat.example.org");
      const [events] = (await once(get(`${url}preview-events?v=1`), "response")) as [IncomingMessage];
      let told = "";
      events.on("data", (piece) => {
        told += piece;
      });
      events.on("error", () => {});
      await put("web/en/info.md", "# Ours, {{misspelt}}");
      await waitFor("the change", 10_000, async () => told.includes("data: changed"));
      expect(await fetchText(`${url}en/info`)).toContain("<h1>Ours, {{misspelt}}</h1>");
      expect(stderr()).toContain("web/en/info.md: there is no {{misspelt}}");
      await put("relay.toml", "nonsense");
      await waitFor("the mistake", 10_000, async () =>
        (await fetchText(url)).includes("relay.toml has one mistake"),
      );
      await put("relay.toml", 'domain = "chat.example.org"\n[sign_up]\nmode = "closed"\n');
      await waitFor("the mended page", 10_000, async () =>
        (await fetchText(`${url}en/`)).includes("No new profiles at the moment"),
      );
    });
    expect(code).toBe(0);
  });

  it("shows how it looks with another way to sign up", async () => {
    const code = await preview(["--port", "0", "--sign-up", "invite"], async (url) => {
      expect(await fetchText(`${url}en/`)).toContain("By invitation");
    });
    expect(code).toBe(0);
  });

  it("says that a port is taken", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    const { code, stderr } = await runHoming(["web", "preview", folder, "--port", String(port)]);
    taken.close();
    expect([code, stderr]).toEqual([1, expect.stringContaining("EADDRINUSE")]);
  });

  it.each([
    [["web"]],
    [["web", "preview"]],
    [["web", "publish", "x"]],
    [["web", "preview", "x", "--port", "http"]],
    [["web", "preview", "x", "--sign-up", "sometimes"]],
  ])("%j is a wrong use", async (args) => {
    expect(await runHoming(args)).toMatchObject({ code: 2, stdout: "" });
  });
});

describe("the page files of a relay folder", () => {
  it("travel with it, without what computers leave behind", async () => {
    for (const path of [
      "web/theme.css",
      "web/de/home.md",
      "web/.DS_Store",
      "web/de/Thumbs.db",
      "web/._logo.svg",
    ])
      await put(path, "x");
    const { files } = await readRelayFolder(folder);
    expect([...files.keys()].filter((path) => path.startsWith("web"))).toEqual([
      "web/de/home.md",
      "web/theme.css",
    ]);
  });

  it.each([
    ["web/Home.md", /Home\.md cannot be part of the pages; allowed are lower-case names/],
    ["web/program.exe", /program\.exe cannot be part/],
    ["web/de/at/home.md", /cannot be part/],
    ["web/home", /cannot be part/],
    [
      "web/security.txt",
      /security\.txt cannot be part of the pages: at \/security\.txt the relay itself answers/,
    ],
    ["web/en/new.md", /at \/new the relay itself answers: choose another name/],
    ["web/en/mxdeliv.md", /at \/mxdeliv the relay itself answers/],
    ["web/new/home.md", /at \/new the relay itself answers/],
    ["web/en-v2/home.md", /“en-v2” names no language as browsers do/],
  ])("are refused when one is %s", async (path, message) => {
    await put(path, "x");
    await expect(readRelayFolder(folder)).rejects.toThrow(message);
    expect(await runHoming(["web", "preview", folder, "--port", "0"])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(message),
    });
  });

  it("are refused when one is too large, or a symbolic link", async () => {
    await put("web/a.png", "x".repeat(524_289));
    await expect(readOperatorPages(folder)).rejects.toThrow(/a\.png of 524289 bytes, at most 524288/);
    await rm(join(folder, "web", "a.png"));
    await symlink("../keys/tls.pem", join(folder, "web", "key.txt"));
    await expect(readOperatorPages(folder)).rejects.toThrow(/key\.txt is a symbolic link/);
  });
});
