/** Stands in for deSEC with accounts: registration by mail, sessions, and tokens with policies. */

import { fakeDesec } from "./desec.ts";
import type { FakeAnswer, FakeProvider, FakeRequest } from "./fake-provider.ts";

type Account = { password: string; domain: string; isActive: boolean };
type Policy = { domain: string | null; subname: null; type: null; perm_write: boolean };
type Token = { id: string; secret: string; isLogin: boolean; policies: Policy[] };

export type FakeDesecAccounts = FakeProvider &
  Readonly<{
    /** Names that others have. */
    taken: Set<string>;
    /** Follows the link in the mail to this address; false when there was none. */
    followLink(email: string): boolean;
    /** The secrets of the tokens that are good for something now. */
    secrets(): string[];
  }>;

export function fakeDesecAccounts(domain: string): FakeDesecAccounts {
  const zone = fakeDesec(domain, []);
  const accounts = new Map<string, Account>();
  const taken = new Set<string>();
  let tokens: Token[] = [];
  let domains: string[] = [];
  let lastId = 0;
  const detail = (status: number, text: string): FakeAnswer => ({ status, body: { detail: text } });
  const newToken = (isLogin: boolean): Token => {
    const id = `3a6b94b5-d20e-40bd-a7cc-${String(++lastId).padStart(12, "0")}`;
    const token = { id, secret: `secret-of-token-${lastId}`, isLogin, policies: [] };
    tokens.push(token);
    return token;
  };
  const register = (body: Record<string, unknown>): FakeAnswer => {
    const { email, password, domain: name } = body;
    if (typeof email !== "string" || !email.includes("@")) {
      return { status: 400, body: { email: ["Enter a valid email address."] } };
    }
    if (typeof password !== "string" || password === "") {
      return { status: 400, body: { password: ["This field may not be blank."] } };
    }
    if (taken.has(String(name))) {
      return { status: 400, body: { domain: ["This domain name is unavailable."] } };
    }
    if (!accounts.has(email)) accounts.set(email, { password, domain: String(name), isActive: false });
    return detail(202, "Welcome! Please check your mailbox.");
  };
  const logIn = ({ email, password }: Record<string, unknown>): FakeAnswer => {
    const account = accounts.get(String(email));
    if (account?.isActive !== true || account.password !== password) {
      return detail(403, "Your email address or password is incorrect.");
    }
    const { id, secret } = newToken(true);
    return { status: 200, body: { id, perm_manage_tokens: true, token: secret } };
  };
  const policyOf = (token: Token, policy: Policy): FakeAnswer => {
    if (policy.domain !== null && !token.policies.some((one) => one.domain === null)) {
      return {
        status: 400,
        body: { non_field_errors: ["Policy precedence: The first policy must be the default."] },
      };
    }
    token.policies.push(policy);
    return { status: 201, body: { id: String(++lastId), ...policy } };
  };
  const withToken = (request: FakeRequest, token: Token): FakeAnswer => {
    const { method, path } = request;
    const body = request.body as Record<string, unknown>;
    if (path === "/auth/logout/") {
      tokens = tokens.filter((one) => one !== token);
      return { status: 204 };
    }
    if (path.startsWith("/auth/tokens/")) {
      if (!token.isLogin) return detail(403, "You do not have permission to perform this action.");
      if (path === "/auth/tokens/") {
        const { id, secret } = newToken(false);
        return { status: 201, body: { id, name: body.name, token: secret } };
      }
      const [, id, rest] = /^\/auth\/tokens\/([^/]+)\/(.*)$/.exec(path) ?? [];
      const other = tokens.find((one) => one.id === id);
      if (method === "DELETE" && rest === "") {
        tokens = tokens.filter((one) => one !== other);
        return { status: 204 };
      }
      if (other !== undefined && rest === "policies/rrsets/") return policyOf(other, request.body as Policy);
      return detail(404, "Not found.");
    }
    if (method === "POST" && path === "/domains/") {
      if (taken.has(String(body.name)))
        return { status: 400, body: { name: ["This domain name is unavailable."] } };
      domains.push(String(body.name));
      return { status: 201, body: { name: body.name, minimum_ttl: 3600 } };
    }
    if (!domains.includes(domain)) return detail(404, "No Domain matches the given query.");
    const isDenied =
      token.policies.length > 0 && !token.policies.some((one) => one.domain === domain && one.perm_write);
    if (method !== "GET" && isDenied) return detail(403, "Insufficient token permissions.");
    return zone.answer({
      ...request,
      headers: new Headers({ authorization: `Token ${zone.credentials.token}` }),
    });
  };
  return {
    ...zone,
    taken,
    secrets: () => tokens.map(({ secret }) => secret),
    followLink: (email) => {
      const account = accounts.get(email);
      if (account === undefined || taken.has(account.domain)) return false;
      account.isActive = true;
      domains = [...domains, account.domain];
      return true;
    },
    answer: (request) => {
      const { path, headers } = request;
      const body = (request.body ?? {}) as Record<string, unknown>;
      if (path === "/auth/") return register(body);
      if (path === "/auth/login/") return logIn(body);
      const secret = headers.get("authorization")?.replace(/^Token /, "");
      const token = tokens.find((one) => one.secret === secret);
      return token === undefined ? detail(401, "Invalid token.") : withToken(request, token);
    },
  };
}
