import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRelayConfig } from "../../../../appliance/relay-config.ts";
import { webDefaultsFolder } from "../../../../appliance/web-defaults.ts";
import { isWebFilePath } from "../../../../appliance/web-files.ts";
import { mxdelivRoutes } from "../../../../services/web/mxdeliv.ts";
import { createPages } from "../../../../services/web/pages/pages.ts";
import { readWebFolders } from "../../../../services/web/pages/web-folder.ts";
import { signUpRoutes } from "../../../../services/web/sign-up.ts";
import { autoconfigRoutes, securityTextRoutes } from "../../../../services/web/well-known.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "homing-web-"));
});
afterEach(() => rm(folder, { recursive: true }));

async function put(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}

async function pages() {
  const files = await readWebFolders([webDefaultsFolder, folder]);
  const config = parseRelayConfig('domain = "chat.example.org"', "relay.toml");
  return createPages({ config, files, signUpMode: () => "open" });
}

describe("an operator's files", () => {
  it("stand in for ours, add to them, and take them away when they are empty", async () => {
    await put({
      "de/home.md": "",
      "en/rules.md": "# Rules",
      "logo.svg": "",
      "map.png": "x",
      "en/info.md": "",
    });
    const { routes, problems } = await pages();
    expect(problems).toEqual([]);
    for (const path of ["/rules", "/en/rules", "/map.png", "/privacy"]) expect(routes).toHaveProperty([path]);
    for (const path of ["/de/", "/de/privacy", "/logo.svg", "/info", "/de/rules"])
      expect(routes).not.toHaveProperty([path]);
  });

  it("bring a language of their own, whose missing words are English", async () => {
    await put({ "fr/home.md": "# Bonjour {{delete_after}}", "fr/words.toml": 'language_name = "Français"' });
    const { routes, problems } = await pages();
    expect(problems).toEqual([]);
    expect(routes).toHaveProperty(["/fr/"]);
  });

  it("that are no page files, or links, are passed over", async () => {
    await put({ "notes.doc": "x", ".hidden.md": "x", "en/Info.md": "x", "a/b/c.md": "x" });
    await put({ "security.txt": "x", "en/new.md": "x", "mxdeliv/home.md": "x", "en-v2/home.md": "x" });
    await symlink("/etc/passwd", join(folder, "passwd.txt"));
    expect([...(await readWebFolders([folder])).keys()]).toEqual([]);
    expect([...(await readWebFolders([join(folder, "missing")])).keys()]).toEqual([]);
  });

  it("with mistakes are named, and the pages shown all the same", async () => {
    await put({ "en/words.toml": "this is no TOML", "de/info.md": "{{nobody}} {{#nothing}}x{{/nothing}}" });
    const { problems, routes } = await pages();
    expect(problems.join("\n")).toMatch(/en\/words\.toml cannot be read/);
    expect(problems).toEqual(
      expect.arrayContaining(["de/info.md: there is no {{nobody}}", "de/info.md: there is no {{nothing}}"]),
    );
    expect(routes).toHaveProperty(["/"]);
  });

  it("without any home page or layout cannot be shown", async () => {
    await put({ "layout.html": "" });
    await expect(pages()).rejects.toThrow(expect.objectContaining({ name: "PagesError" }));
    await put({ "layout.html": "{{content}}", "en/home.md": "", "de/home.md": "" });
    await expect(pages()).rejects.toThrow(/no home\.md in any language/);
  });
});

describe("the addresses of the service itself", () => {
  it("are all refused to page files", () => {
    const none = {} as never;
    const config = parseRelayConfig('domain = "chat.example.org"\ncontact = "op@example.org"', "relay.toml");
    const tables = [
      signUpRoutes({ domain: config.domain, accounts: none, pages: none, log: none }),
      autoconfigRoutes(config.domain),
      securityTextRoutes(config, () => new Date()),
      mxdelivRoutes({
        domain: config.domain,
        postfix: none,
        accepted: none,
        maxMessageBytes: 1,
        maxRecipients: 1,
        log: none,
      }),
    ];
    const paths = tables.flatMap((table) => Object.keys(table));
    expect(paths).toEqual(expect.arrayContaining(["/new", "/i/*", "/mxdeliv", "/security.txt"]));
    // A page "x" is at /x, a language "de" at /de and below it, and a file at its path.
    for (const path of paths) {
      const name = path.slice(1);
      for (const file of [name, `en/${name}.md`, `${name}/home.md`])
        expect(isWebFilePath(file), file).toBe(false);
    }
  });
});
