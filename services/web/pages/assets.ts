/**
 * Style, script, pictures and fonts, each at its own name. A link to one carries a part of its hash, so that browsers
 * keep it for good and still get a new one at once. Called by pages.ts.
 */
import { createHash } from "node:crypto";
import { mediaTypeOf } from "../../../appliance/web-files.ts";
import type { Answer, RequestHead } from "../exchange.ts";
import type { Routes } from "../router.ts";
import type { Values } from "./template.ts";
import type { WebFiles } from "./web-folder.ts";

/** A year, in seconds (RFC 9111 §5.2.2.1); the address changes with the content. */
const keepSeconds = 31_536_000;
/** Of 256 bits: two versions of a file never share 60. */
const tagLength = 10;

/** A strong validator (RFC 9110 §8.8.3), without its quotes. */
export function contentTag(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("base64url").slice(0, tagLength);
}

/** Routes for all files that are sent as they are, and their addresses: "style.css" is `{{asset_style_css}}`. */
export function assetsOf(files: WebFiles): Readonly<{ routes: Routes; values: Values }> {
  const routes: Record<string, Routes[string]> = {};
  const values: Record<string, string> = {};
  for (const [path, content] of files) {
    const type = mediaTypeOf(path);
    if (type === null) continue;
    const tag = contentTag(content);
    routes[`/${path}`] = {
      GET: (request) =>
        revalidated(request, tag, {
          status: 200,
          headers: {
            "content-type": type,
            "cache-control":
              request.query.get("v") === tag ? `public, max-age=${keepSeconds}, immutable` : "no-cache",
          },
          body: content,
        }),
    };
    values[`asset_${path.replace(/[^a-z0-9]/g, "_")}`] = `/${path}?v=${tag}`;
  }
  return { routes, values };
}

/** The answer with its tag, or 304 when the browser has it already (RFC 9110 §13.1.2). */
export function revalidated({ headers }: RequestHead, tag: string, answer: Answer): Answer {
  const tagged = { ...answer, headers: { ...answer.headers, etag: `"${tag}"` } };
  const known = headers
    .all("if-none-match")
    .flatMap((field) => field.split(","))
    .map((one) => one.trim().replace(/^W\//, ""));
  if (!known.includes(`"${tag}"`)) return tagged;
  const { status: _status, body: _body, ...rest } = tagged;
  return { ...rest, status: 304 };
}
