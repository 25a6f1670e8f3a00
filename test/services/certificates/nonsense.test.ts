/** An authority that answers nonsense, and a disk that takes nothing (services/certificates): bounded, counted, told. */
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { MAX_REQUESTS } from "../../../services/certificates/authority.ts";
import { type Interceptor, ORDER_PATH } from "../../support/pebble.ts";
import { makeSurroundings, missing, type Surroundings } from "./surroundings.ts";

const MINUTE = 60_000;
/** Where Pebble has what its directory does not name. */
const places = { newAccount: "/sign-me-up", authorization: "/authZ/", finalize: "/finalize-order/" } as const;

/** Answers the POSTs to this place. */
function answer(
  place: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
): Interceptor {
  return (request, response) => {
    if (request.method !== "POST" || !request.url?.startsWith(place)) return false;
    response.writeHead(status, { "replay-nonce": "bm9uY2U", ...headers }).end(body);
    return true;
  };
}

const page = "<!DOCTYPE html><title>Welcome to our hotel</title>";
const json = { "content-type": "application/json" };
const html = { "content-type": "text/html" };

describe.skipIf(missing !== undefined)(`an authority without sense (${missing ?? "here"})`, () => {
  let place: Surroundings;
  afterEach(() => place[Symbol.asyncDispose]());

  /** Two looks that fail the same way: each counts, is told, and is not repeated before its time. */
  async function expectBackOff(words: RegExp, most: number): Promise<void> {
    let now = Date.now();
    for (const [count, least] of [
      [1, 15],
      [2, 30],
    ] as const) {
      const before = place.pebble.requests.length;
      await place.look({ now: () => now });
      expect(place.pebble.requests.length - before).toBeLessThanOrEqual(most);
      expect(await place.problem()).toMatch(words);
      expect((await place.state()).failure?.count).toBe(count);
      const next = await place.nextLook();
      expect(next - now).toBeGreaterThanOrEqual(least * MINUTE);
      const asked = place.pebble.requests.length;
      await place.look({ now: () => next - MINUTE });
      expect(place.pebble.requests.length).toBe(asked);
      now = next;
    }
  }

  it("is left alone when it takes no nonce", async () => {
    place = await makeSurroundings(undefined, { badNonces: 100 });
    await expectBackOff(/an answer that the relay cannot work with, .*nonce/, 20);
  });

  it("is left alone when it does not say where an order is", async () => {
    place = await makeSurroundings();
    place.pebble.intercept(answer(ORDER_PATH, 201, json, '{"status":"pending"}'));
    await expectBackOff(/cannot work with, .*did not return an order link/, 20);
    expect(place.pebble.count(ORDER_PATH)).toBe(2);
  });

  it.each([200, 201])("is left alone when it does not say where the account is (HTTP %i)", async (status) => {
    place = await makeSurroundings();
    place.pebble.intercept(answer(places.newAccount, status, json, '{"status":"valid"}'));
    await expectBackOff(/It says: “it does not say which account it is”/, 10);
    expect(place.pebble.count(places.newAccount)).toBe(2);
  });

  it.each(["authorization", "finalize"] as const)(
    "is left alone when a page comes as its %s",
    async (what) => {
      place = await makeSurroundings();
      place.pebble.intercept(answer(places[what], 200, html, page));
      await expectBackOff(/refused\. .*not ACME, but begins “<!DOCTYPE html><title>Welcome/, 40);
      // The order was made once, and lives on once the authority is itself again.
      expect(place.pebble.count(ORDER_PATH)).toBe(1);
      place.pebble.intercept(undefined);
      const { failure } = await place.state();
      await place.look({ now: () => failure!.retryAt });
      expect(await place.problem()).toBeUndefined();
      expect((await place.chain()).isSelfSigned).toBe(false);
    },
  );

  it("is left alone when an authorization is one of nothing", async () => {
    place = await makeSurroundings();
    place.pebble.intercept(answer(places.authorization, 200, json, '{"status":"pending"}'));
    await expectBackOff(/cannot work with, or the relay has a mistake of its own; .*undefined/, 20);
    expect(place.log.join("\n")).toMatch(/looking after the certificate failed.*TypeError/);
  });

  it("gets no more requests than are meant for one look", async () => {
    place = await makeSurroundings();
    const url = new URL(places.authorization, place.pebble.directory).href;
    const authorizations = Array.from({ length: 2 * MAX_REQUESTS }, (_one, index) => `${url}${index}`);
    const order = JSON.stringify({ status: "pending", authorizations });
    place.pebble.intercept(answer(ORDER_PATH, 201, { ...json, location: `${url}order` }, order));
    await place.look();
    // Those that it began at once come to their end.
    await expect.poll(() => place.pebble.requests.length, { timeout: 10_000 }).toBe(500);
    expect(await place.problem()).toMatch(/does not come to an end \(more than 500 requests in one look\)/);
    expect((await place.state()).failure?.count).toBe(1);
    expect((await place.nextLook()) - Date.now()).toBeGreaterThan(14 * MINUTE);
  });

  it("is not asked at all while nothing can be written down", async () => {
    place = await makeSurroundings();
    const { paths } = await place.options();
    await place.look({ paths: { ...paths, state: join(place.folder, "nowhere", "state.json") } });
    expect(place.pebble.requests.filter((line) => !line.endsWith("/dir"))).toEqual([]);
    expect(await place.problem()).toMatch(/cannot write down .* \(ENOENT\): is its disk full or damaged\?/);
    expect((await place.nextLook()) - Date.now()).toBeGreaterThan(14 * MINUTE);
  });
});
