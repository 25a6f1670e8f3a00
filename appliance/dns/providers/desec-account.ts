/**
 * A free domain below dedyn.io: an account at deSEC with it, and then a token that may change this one domain and nothing
 * else. Called by the wizard and `./homing dns register`. What deSEC asks of people (a link in a mail, a captcha behind it)
 * stays with people.
 */
import * as z from "zod";
import type { ConnectOptions } from "../provider.ts";
import { type ProviderHttp, providerHttp } from "../provider-http.ts";
import { DESEC_URL, desecReason } from "./desec.ts";

export type DesecAccount = Readonly<{
  /**
   * Asks for the account with its domain. deSEC then sends a mail with a link that is good for twelve hours; following it
   * makes both, or neither when the name is taken by then; the page behind it asks for a captcha. An account that
   * is there already stays as it is, and nobody is told.
   */
  register(wish: Readonly<{ domain: string }>): Promise<void>;
  /**
   * Once the link was followed: takes the domain into the account if it is not there (for accounts from before), and makes
   * a token that may write its records alone. Throws a DnsProviderError of `credentials` while the link was not followed.
   */
  tokenFor(domain: string): Promise<string>;
}>;

const loginForm = z.object({ token: z.string().min(1) });
const tokenForm = z.object({ id: z.string(), token: z.string().min(1) });

/** No request yet. */
export function desecAccount(
  { email, password }: Readonly<{ email: string; password: string }>,
  connect: ConnectOptions = {},
): DesecAccount {
  const client = (token?: string): ProviderHttp =>
    providerHttp({
      provider: "deSEC",
      baseUrl: connect.baseUrl ?? DESEC_URL,
      ...(token === undefined ? {} : { headers: { authorization: `Token ${token}` } }),
      secrets: [password, ...(token === undefined ? [] : [token])],
      reasonOf: desecReason,
      mends: {
        403: "wrong mail address or password, a second factor, or the link in the mail was not followed yet",
      },
      connect,
    });
  const anonymous = client();
  return {
    register: async ({ domain }) => {
      const body = { email, password, domain, outreach_preference: false };
      await anonymous.send({ method: "POST", path: "/auth/", body, what: `take the wish for ${domain}` });
    },
    tokenFor: async (domain) => {
      const what = `open the account of ${email}`;
      const credentials = { method: "POST", path: "/auth/login/", body: { email, password }, what } as const;
      const { token: login } = await anonymous.json(credentials, loginForm);
      const http = client(login);
      try {
        await takeDomain(http, domain);
        return await makeToken(http, domain);
      } finally {
        // Else it would be good for everything for an hour more; that it fails does not undo what was done.
        const end = { method: "POST", path: "/auth/logout/", what: "close the session" } as const;
        await http.send(end).catch(() => undefined);
      }
    },
  };
}

async function takeDomain(http: ProviderHttp, domain: string): Promise<void> {
  const path = `/domains/${domain}/`;
  const what = `show the domain ${domain}`;
  const { status } = await http.send({ method: "GET", path, what, accept: [404] });
  if (status !== 404) return;
  await http.send({ method: "POST", path: "/domains/", body: { name: domain }, what: `give out ${domain}` });
}

/** A token without policies may write everything: it is given away only once it is narrowed. */
async function makeToken(http: ProviderHttp, domain: string): Promise<string> {
  const what = `make a token for ${domain}`;
  const request = {
    method: "POST",
    path: "/auth/tokens/",
    body: { name: `Homing: ${domain}` },
    what,
  } as const;
  const { id, token } = await http.json(request, tokenForm);
  try {
    // The policy for everything must come first.
    for (const policy of [
      { domain: null, subname: null, type: null, perm_write: false },
      { domain, subname: null, type: null, perm_write: true },
    ]) {
      await http.send({ method: "POST", path: `/auth/tokens/${id}/policies/rrsets/`, body: policy, what });
    }
    return token;
  } catch (error) {
    await http.send({ method: "DELETE", path: `/auth/tokens/${id}/`, what }).catch(() => undefined);
    throw error;
  }
}
