/** The status page at home as HTML, in the look of the relay's other pages. Called by home-site.ts; pure. */
import type { CanaryVerdict } from "../../../appliance/canary.ts";
import type { StatusFacts } from "../../../appliance/life/judgement.ts";
import { qrSvg } from "../pages/qr-svg.ts";
import { escapeHtml, fillHtml } from "../pages/template.ts";
import type { HomeWords } from "./home-words.ts";

export type HomePage = Readonly<{
  language: string;
  words: HomeWords;
  domain: string;
  /** Undefined when nobody has looked yet. */
  facts: StatusFacts | undefined;
  canary: CanaryVerdict | undefined;
  /** Unix seconds. */
  now: number;
  /** A sentence about a PIN that was not taken. */
  refusal?: string;
}>;

export function statusPageHtml(page: HomePage): string {
  const { words, facts } = page;
  if (facts === undefined) return layout(page, words.needsYou, `<p>${escapeHtml(words.unknown)}</p>`);
  const heading = facts.isHealthy ? words.works : words.needsYou;
  return layout(
    page,
    heading,
    [
      lookedHtml(page),
      ...facts.findings.map((finding) => findingHtml(words, finding)),
      checkedHtml(page),
      ...(facts.addresses.length === 0
        ? []
        : [`<p>${escapeHtml(words.addresses)}: ${escapeHtml(facts.addresses.join(", "))}</p>`]),
      formHtml(page),
    ].join("\n"),
  );
}

/** What whoever knows the PIN gets. `link`: what the code says; undefined while sign-up is closed. */
export function invitationHtml(page: HomePage, link: string | undefined, isInvitation: boolean): string {
  const { words } = page;
  const back = `<p><a href="/">${escapeHtml(words.back)}</a></p>`;
  if (link === undefined) return layout(page, words.inviteTitle, `<p>${escapeHtml(words.closed)}</p>${back}`);
  const text = isInvitation ? `${words.invited} ${words.invitedOnce}` : words.invited;
  const code = `<figure class="sign-up-code">${qrSvg(link, words.qrLabel)}</figure>`;
  const address = `<p><a href="${escapeHtml(link)}">${escapeHtml(link)}</a></p>`;
  return layout(page, words.inviteTitle, `<p>${escapeHtml(text)}</p>${code}${address}${back}`);
}

function lookedHtml({ words, facts, canary, now }: HomePage): string {
  if (canary === undefined) return isCanaryOld(facts) ? "" : `<p>${escapeHtml(words.notLooked)}</p>`;
  const way = canary.steps.filter(({ name }) => name === "submission" || name === "delivery");
  const isDelivered = way.some(({ name }) => name === "delivery") && way.every(({ ok }) => ok);
  const seconds = way.reduce((sum, step) => sum + step.seconds, 0);
  const minutes = Math.max(0, Math.round((now - canary.time) / 60));
  const text = isDelivered ? words.looked : words.notDelivered;
  const filled = text.replace("{{minutes}}", String(minutes)).replace("{{seconds}}", seconds.toFixed(2));
  return `<p>${escapeHtml(filled)}</p>`;
}

function findingHtml(words: HomeWords, { about, lines }: StatusFacts["findings"][number]): string {
  const [title, mend] = words.advice[about] ?? words.advice[about.split(" ")[0]!] ?? [about, ""];
  return `<section class="finding">
<h2>${escapeHtml(title)}</h2>
<p>${escapeHtml(mend)}</p>
<details><summary>${escapeHtml(words.details)}</summary><p lang="en">${lines.map(escapeHtml).join("<br>")}</p></details>
</section>`;
}

/** Then a finding says so, and what worked once is nothing that works. */
function isCanaryOld(facts: StatusFacts | undefined): boolean {
  return facts?.findings.some(({ about }) => about === "canary-old") ?? false;
}

function checkedHtml({ words, facts, canary }: HomePage): string {
  if (isCanaryOld(facts)) return "";
  const right = (canary?.steps ?? []).filter(({ ok }) => ok).map(({ name }) => words.steps[name] ?? name);
  if (right.length === 0) return "";
  return `<p>${escapeHtml(words.checked)}: ${escapeHtml(right.join(", "))}</p>`;
}

function formHtml({ words, refusal }: HomePage): string {
  return `<h2 id="invite">${escapeHtml(words.inviteTitle)}</h2>
<p>${escapeHtml(words.inviteText)}</p>
${refusal === undefined ? "" : `<p role="alert"><strong>${escapeHtml(refusal)}</strong></p>`}
<form method="post" action="/invite" autocomplete="off">
<p><label>${escapeHtml(words.pin)} <input name="pin" inputmode="numeric" pattern="[0-9 ]{8,12}" maxlength="12" required></label></p>
<p><button>${escapeHtml(words.inviteButton)}</button></p>
</form>`;
}

function layout({ language, domain }: HomePage, heading: string, content: string): string {
  return fillHtml(
    `<!doctype html>
<html lang="{{language}}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{heading}} – {{domain}}</title>
<link rel="icon" href="/logo.svg" type="image/svg+xml">
<link rel="stylesheet" href="/theme.css">
<link rel="stylesheet" href="/style.css">
</head>
<body class="page-status">
<header><a class="brand" href="/"><img src="/logo.svg" alt="" width="40" height="40"><span>{{domain}}</span></a></header>
<main id="content">
<h1>{{heading}}</h1>
{{content}}
</main>
</body>
</html>
`,
    { language, domain, heading, content: { html: content } },
  );
}
