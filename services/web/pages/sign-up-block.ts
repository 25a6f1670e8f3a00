/**
 * The button and the QR code that make an account, for the home page and for invitations. Works without script: the
 * link opens Delta Chat, the code is scanned by it. Called by pages.ts and by whoever has a link of his own.
 */
import { qrSvg } from "./qr-svg.ts";
import { type Words, word } from "./relay-values.ts";
import { escapeHtml } from "./template.ts";

/** Where the app comes from: each shop and system has a place there. */
const appLink = "https://delta.chat/download";

/** `link`: a `dcaccount:` URI. */
export function signUpBlock(link: string, words: Words): Readonly<{ html: string }> {
  const text = (name: string): string => escapeHtml(word(words, name));
  const href = escapeHtml(link);
  return {
    html: `<section class="sign-up" aria-label="${text("sign_up_label")}">
<div class="sign-up-here">
<a class="button" href="${href}">${text("sign_up_button")}</a>
<p>${text("sign_up_here")}</p>
<p class="hint">${text("sign_up_no_app")} <a href="${appLink}">${text("sign_up_get_app")}</a></p>
<p class="copy" hidden><button type="button" class="quiet" data-copy="${href}" data-copied="${text("copied")}">${text("copy_link")}</button></p>
</div>
<figure class="sign-up-code">
<a href="${href}">${qrSvg(link, word(words, "qr_label"))}</a>
<figcaption>${text("sign_up_scan")}</figcaption>
</figure>
</section>`,
  };
}
