/**
 * Shows a relay's pages on this computer while somebody works on them, by the very code that shows them on the relay:
 * every change of `web/` or relay.toml makes them anew, and browsers load them again. Called by `./homing web preview`.
 */
import { watch } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { SignUpMode } from "../appliance/sign-up-modes.ts";
import { webDefaultsFolder } from "../appliance/web-defaults.ts";
import { webFolderName } from "../appliance/web-files.ts";
import { createLog } from "../services/lib/log.ts";
import { type Answer, HttpProblem, textAnswer } from "../services/web/exchange.ts";
import { createHttp1Server } from "../services/web/http1.ts";
import { webLimits } from "../services/web/limits.ts";
import { createPages } from "../services/web/pages/pages.ts";
import { readWebFolders } from "../services/web/pages/web-folder.ts";
import type { Site } from "../services/web/serve.ts";
import { createSite } from "../services/web/site.ts";
import { readSettings } from "./relay-folder.ts";
import { readOperatorPages } from "./web-folder.ts";

/** This computer alone: the pages are not published yet. */
const host = "127.0.0.1";
const reloadScript = "/preview-reload.js";
const eventsPath = "/preview-events";
/** Editors write a file in several steps; together they are one change. In milliseconds. */
const quietMs = 150;

export type PreviewOptions = Readonly<{
  folder: string;
  /** 0: any that is free. */
  port: number;
  /** As if sign-up were so; the settings' own unless given. */
  mode?: SignUpMode;
  /** What is wrong, or has changed. */
  note(text: string): void;
}>;

export type Preview = Readonly<{ url: string; close(): Promise<void> }>;

/** Throws RelayFolderError, RelayConfigError, WebFolderError or the system's error when the pages cannot be shown to begin with. */
export async function startPreview(options: PreviewOptions): Promise<Preview> {
  const { folder, port, note } = options;
  let site = await readSite(options);
  /** Counted up by every change: a page says which it was made of, and hears at once when that has passed. */
  let version = 1;
  const viewers = new Set<ServerResponse>();
  const current: Site = {
    find: (head) => site.find(head),
    problem: (head, problem) => site.problem(head, problem),
    finish: (head, answer) => withReload(site.finish(head, answer), version),
  };
  // Nobody's places are counted here.
  const begin = () => ({ answered: () => {}, end: () => {} });
  const peer = { client: host, isSecure: true, begin };
  const inner = createHttp1Server({ site: current, limits: webLimits, log: createLog(note) }, () => peer);
  const server = createServer((request, response) => {
    const [path, seen] = (request.url ?? "").split("?v=");
    if (path !== eventsPath) {
      inner.emit("request", request, response);
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write(seen === String(version) ? ": nothing new\n\n" : changed);
    viewers.add(response);
    response.once("close", () => viewers.delete(response));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });

  let timer: NodeJS.Timeout | undefined;
  const watcher = watch(folder, { recursive: true }, (_event, name) => {
    if (name !== "relay.toml" && name?.split(/[/\\]/)[0] !== webFolderName) return;
    clearTimeout(timer);
    timer = setTimeout(async () => {
      site = await readSite(options).catch((error: Error) => {
        note(error.message);
        return problemSite(error.message);
      });
      version += 1;
      for (const viewer of viewers) viewer.write(changed);
      note("The pages were made anew.");
    }, quietMs);
  });
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      watcher.close();
      clearTimeout(timer);
      for (const viewer of viewers) viewer.end();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function readSite({ folder, mode, note }: PreviewOptions): Promise<Site> {
  const { config } = await readSettings(folder);
  // What an image would not take is said here as well.
  await readOperatorPages(folder);
  const files = await readWebFolders([webDefaultsFolder, join(folder, webFolderName)]);
  const pages = createPages({ config, files, signUpMode: () => mode ?? config.signUp.mode });
  for (const problem of pages.problems) note(`${webFolderName}/${problem}`);
  const reload = { GET: () => textAnswer(200, script, { "content-type": "text/javascript" }) };
  return createSite({
    domain: config.domain,
    everywhere: {},
    mtaSts: {},
    relay: [{ [reloadScript]: reload }],
    pages: pages.routes,
    problemPage: pages.problemPage,
  });
}

/** An event (HTML Living Standard, §9.2). */
const changed = "data: changed\n\n";
const script = `const { search } = new URL(document.currentScript.src);
new EventSource("${eventsPath}" + search).onmessage = () => location.reload();
`;

/** A page that says what is wrong, and goes away when it is mended. */
function problemSite(text: string): Site {
  const escaped = text.replace(/[&<>]/g, (character) => `&#${character.codePointAt(0)};`);
  const page = `<!doctype html><html lang="en"><head><title>A mistake</title>
</head><body><pre>${escaped}</pre></body></html>`;
  const answer: Answer = { status: 500, headers: { "content-type": "text/html; charset=utf-8" }, body: page };
  return {
    find: ({ path }) => {
      if (path !== reloadScript) throw new HttpProblem(500, text);
      const handler = () => textAnswer(200, script, { "content-type": "text/javascript" });
      return { handler, parameter: "", maxBodyBytes: 0 };
    },
    problem: () => answer,
    finish: (_head, given) => given,
  };
}

/** Adds the script that loads the page again, and takes away what would outlive the preview in a browser. */
function withReload(answer: Answer, version: number): Answer {
  const { "strict-transport-security": _hsts, etag: _etag, ...headers } = answer.headers ?? {};
  if (!headers["content-type"]?.startsWith("text/html") || answer.body === undefined) {
    return { ...answer, headers: { ...headers, "cache-control": "no-store" } };
  }
  const body = Buffer.from(answer.body)
    .toString()
    .replace("</head>", `<script src="${reloadScript}?v=${version}" defer></script>\n</head>`);
  return { ...answer, headers: { ...headers, "cache-control": "no-store" }, body };
}
