/**
 * Port 443 as clients of each kind find it, by ALPN (RFC 7301), and the certificate that is shown there. Called by main.ts.
 */
import type { X509Certificate } from "node:crypto";
import { connect, type TLSSocket } from "node:tls";
import { isTestDomain } from "../../appliance/domain.ts";
import { ports } from "../../appliance/layout.ts";
import { answerMs } from "./limits.ts";
import { Finding, type Steps } from "./steps.ts";

/** What each protocol begins with; a web server waits to be asked. */
const protocols = [
  { alpn: "imap", asks: "", answers: /^\* OK/ },
  { alpn: "smtp", asks: "", answers: /^220 / },
  {
    alpn: "http/1.1",
    asks: "GET / HTTP/1.1\r\nHost: DOMAIN\r\nConnection: close\r\n\r\n",
    answers: /^HTTP\/1\.1 200/,
  },
] as const;

/** A greeting is one line; more is not read. */
const maxGreeting = 1_000;

/** With less of its lifetime left, a certificate should have been renewed: that is due at a third, at half if it lives for days. */
const leastShareLeft = 1 / 6;

export type Target = Readonly<{ domain: string; host: string; port?: number }>;

/** The certificate that is shown; undefined when the port does not answer. */
export async function lookAtDoors(target: Target, steps: Steps): Promise<X509Certificate | undefined> {
  const shown = await steps.take("port-443", async (see) => {
    let certificate: X509Certificate | undefined;
    for (const protocol of protocols) {
      certificate = await knock(target, protocol).catch((cause: Error) => {
        throw new Finding(
          `port 443 does not answer as ${protocol.alpn}: ${cause.message}`,
          protocol.alpn === "http/1.1"
            ? "see `systemctl status homing-mux homing-web`"
            : `see \`systemctl status homing-mux ${protocol.alpn === "imap" ? "dovecot" : "postfix"}\``,
          cause,
        );
      });
    }
    see(`answers as ${protocols.map(({ alpn }) => alpn).join(", ")}`);
    return certificate;
  });
  if (shown === undefined) return undefined;
  await steps.take("certificate", async (see) => see(judgeCertificate(shown, target.domain, Date.now())));
  return shown;
}

/** What is right about it. @throws Finding */
export function judgeCertificate(certificate: X509Certificate, domain: string, now: number): string {
  const mend = "`homing-ctl certificate` says what keeps the relay from having a valid one";
  const refuse = (detail: string) => new Finding(detail, mend);
  if (certificate.checkHost(domain, { subject: "never" }) === undefined)
    throw refuse(`the certificate is not for ${domain}`);
  const [begin, end] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  const days = Math.floor((end - now) / 86_400_000);
  // Only such names are taken with a certificate that nobody vouches for, and whatever its dates are.
  if (isTestDomain(domain)) return `self-signed, as for every name that begins with “_”; ${days} days left`;
  if (certificate.verify(certificate.publicKey))
    throw refuse(
      "the certificate is signed by the relay itself: Delta Chat and other relays do not accept it",
    );
  if (now > end) throw refuse(`the certificate expired on ${new Date(end).toISOString().slice(0, 10)}`);
  if (now < begin) throw refuse("the certificate is not valid yet: the clock may be wrong");
  if (end - now < (end - begin) * leastShareLeft)
    throw refuse(`the certificate is valid for ${days} more days only, and was not renewed`);
  return `valid for ${days} more days`;
}

/** The certificate of whoever answers as it should. */
function knock(target: Target, protocol: (typeof protocols)[number]): Promise<X509Certificate> {
  const asked = protocol.asks.replace("DOMAIN", target.domain);
  return new Promise((resolve, reject) => {
    const socket = openTls(target, protocol.alpn, answerMs, () => socket.write(asked));
    let text = "";
    socket.on("data", (piece) => {
      text = (text + piece.toString("latin1")).slice(0, maxGreeting);
      if (!text.includes("\n")) return;
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      if (!protocol.answers.test(text)) reject(new Error(`it says “${text.split("\r\n")[0]}”`));
      else if (certificate === undefined) reject(new Error("it shows no certificate"));
      else resolve(certificate);
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the connection was closed")));
  });
}

/** The certificate of whoever is at this address; undefined when nobody answers. `limitMs` in milliseconds. */
export function certificateAt(target: Target, limitMs: number): Promise<X509Certificate | undefined> {
  return new Promise((resolve) => {
    const end = (found?: X509Certificate) => {
      socket.destroy();
      resolve(found);
    };
    const socket = openTls(target, "http/1.1", limitMs, () => end(socket.getPeerX509Certificate()));
    socket.on("error", () => end());
    socket.on("close", () => end());
  });
}

function openTls(
  { host, domain, port = ports.https }: Target,
  alpn: string,
  limitMs: number,
  onSecure: () => void,
): TLSSocket {
  const options = { host, port, servername: domain, ALPNProtocols: [alpn], rejectUnauthorized: false };
  const socket = connect(options, onSecure);
  const limit = setTimeout(() => socket.destroy(new Error(`no answer in ${limitMs / 1000} s`)), limitMs);
  socket.once("close", () => clearTimeout(limit));
  return socket;
}
