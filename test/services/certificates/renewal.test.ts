/** Renewing a certificate at the right time, and never losing one (services/certificates), by a real authority. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { covers } from "../../../appliance/certificate-chain.ts";
import { renewalId } from "../../../services/certificates/renewal-id.ts";
import { ORDER_PATH } from "../../support/pebble.ts";
import { waitFor } from "../../support/wait.ts";
import { domain, makeSurroundings, missing, type Surroundings } from "./surroundings.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const LIFETIME = 90 * DAY;
const START_TIMEOUT = 30_000;
const AUTHORIZATION = /^\/authZ\//;
const FINALIZE = /^\/finalize-order\//;
const DOWNLOAD = /^\/certZ\//;

describe.skipIf(missing !== undefined)(`the certificate service (${missing ?? "here"})`, () => {
  let place: Surroundings;
  /** All names lead here, so nothing but renewal is left to do. */
  const start = async (...args: Parameters<typeof makeSurroundings>) => {
    const names = [domain, `www.${domain}`, `mta-sts.${domain}`].map((name) => `${name}. 60 A 127.0.0.1`);
    place = await makeSurroundings(args[0] ?? names, args[1]);
    return place;
  };
  afterEach(() => place[Symbol.asyncDispose]());
  const at = (now: number) => ({ now: () => now });

  it("renews at two thirds of the lifetime, with the same key", async () => {
    await start();
    await place.look();
    const first = await place.chain();
    const { renewAt } = (await place.state()).installed!;
    const begun = first.notBefore.getTime();
    expect(renewAt - begun).toBeGreaterThan(0.63 * LIFETIME);
    expect(renewAt - begun).toBeLessThan(0.667 * LIFETIME);
    const orders = place.pebble.count(ORDER_PATH);
    await place.look(at(renewAt - DAY));
    expect(place.pebble.count(ORDER_PATH)).toBe(orders);
    expect(await place.nextLook()).toBe(Math.ceil(renewAt / 1000) * 1000);
    await place.look(at(renewAt + MINUTE));
    const second = await place.chain();
    expect(place.pebble.count(ORDER_PATH)).toBe(orders + 1);
    expect(second.leaf.serialNumber).not.toBe(first.leaf.serialNumber);
    expect(second.leaf.publicKey.equals(first.leaf.publicKey)).toBe(true);
    expect(second.leaf.subjectAltName).toBe(first.leaf.subjectAltName);
  });

  it("renews what lives for days at half of its time", async () => {
    await start(undefined, { lifetime: 6 * 86_400 });
    await place.look();
    const { notBefore } = await place.chain();
    const { renewAt } = (await place.state()).installed!;
    expect((renewAt - notBefore.getTime()) / DAY).toBeCloseTo(3 - 0.09, 1);
  });

  it("renews in the window that the authority suggests, and says what it replaces", async () => {
    await start();
    const asked: string[] = [];
    let window = { start: Date.now() + 20 * DAY, end: Date.now() + 22 * DAY };
    place.pebble.changeDirectory((directory) => {
      directory.renewalInfo = place.pebble.directory.replace("/dir", "/renewal-info");
    });
    place.pebble.intercept((request, response) => {
      if (!request.url?.startsWith("/renewal-info/")) return false;
      asked.push(request.url.slice("/renewal-info/".length));
      const [from, to] = [window.start, window.end].map((time) => new Date(time).toISOString());
      response
        .writeHead(200, { "content-type": "application/json", "retry-after": "21600" })
        .end(JSON.stringify({ suggestedWindow: { start: from, end: to } }));
      return true;
    });
    await place.look();
    const id = renewalId(await place.chain())!;
    expect(asked.at(-1)).toBe(id);
    expect((await place.state()).renewal?.at).toBe((window.start + window.end) / 2);
    // Six hours later it is asked again, and has changed its mind: the certificate will be withdrawn.
    const next = await place.nextLook();
    expect((next - Date.now()) / HOUR).toBeCloseTo(6, 0);
    window = { start: Date.now() - 2 * DAY, end: Date.now() - DAY };
    await place.look(at(next - HOUR));
    expect(renewalId(await place.chain())).toBe(id);
    await place.look(at(next + 1000));
    expect(renewalId(await place.chain())).not.toBe(id);
    expect(place.pebble.orders.map(({ replaces }) => replaces)).toEqual([undefined, undefined, id]);
  });

  it("keeps to its plan while the authority is silent about renewal", async () => {
    await start();
    place.pebble.changeDirectory((directory) => {
      directory.renewalInfo = place.pebble.directory.replace("/dir", "/nonsense");
    });
    await place.look();
    const { installed, renewal } = await place.state();
    expect(renewal?.at).toBe(installed?.renewAt);
    expect(await place.problem()).toBeUndefined();
    const orders = place.pebble.count(ORDER_PATH);
    await place.look(at(Date.now() + 7 * HOUR));
    expect(place.pebble.count(ORDER_PATH)).toBe(orders);
  });

  it("keeps below the authority's limits when it goes in circles", async () => {
    await start();
    let now = Date.now();
    for (let i = 0; i < 12; i++) {
      await place.look(at(now));
      // Something takes the certificate away again and again.
      await writeFile(join(place.folder, "certificate.pem"), "");
      now += HOUR;
    }
    expect((await place.state()).issued.length).toBeLessThanOrEqual(8);
    expect(await place.problem()).toMatch(/the relay's own limit/);
  });

  it("begins anew at another authority, and with a state that is damaged", async () => {
    await start();
    await place.look();
    const first = await place.chain();
    await writeFile(join(place.folder, "state.json"), '{"version": 1, "directory"');
    await place.look();
    expect((await place.chain()).leaf.serialNumber).not.toBe(first.leaf.serialNumber);
    expect(place.log.join("")).toContain("is put aside");
    const other = place.pebble.directory.replace("localhost", "LOCALHOST");
    const before = (await place.chain()).leaf.serialNumber;
    await place.look({ settings: `acme_directory = "${other}"` });
    expect((await place.chain()).leaf.serialNumber).not.toBe(before);
    expect((await place.state()).directory).toBe(other);
  });

  it.each<[when: string, stopAt: string | RegExp]>([
    ["while the order is made", ORDER_PATH],
    ["while the names are proved", AUTHORIZATION],
    ["while the order is finalized", FINALIZE],
    ["between finalizing and storing", DOWNLOAD],
  ])("loses nothing when it is killed %s", async (_when, stopAt) => {
    await start();
    await using child = await startChild(place);
    await waitFor("the authority is asked", START_TIMEOUT, () => {
      if (child.process.exitCode !== null) throw new Error(child.output.join(""));
      return child.reached(stopAt);
    });
    child.process.kill("SIGKILL");
    await once(child.process, "exit");
    place.pebble.intercept(undefined);
    const orders = place.pebble.count(ORDER_PATH);
    const isKept = stopAt !== ORDER_PATH;
    expect((await place.state()).order !== undefined).toBe(isKept);
    await place.look();
    const { issued, order } = await place.state();
    expect(order).toBeUndefined();
    expect(issued.map(({ names }) => names.length)).toEqual([1, 3]);
    // The order that was begun went on: only the second certificate needed another.
    expect(place.pebble.count(ORDER_PATH)).toBe(orders + (isKept ? 1 : 2));
    expect(covers(await place.chain(), `mta-sts.${domain}`)).toBe(true);
  });
});

/** A look in a process of its own, which hangs at the first request whose path matches. */
async function startChild(place: Surroundings) {
  const output: string[] = [];
  const seen: string[] = [];
  let stopAt: RegExp | string | undefined;
  place.pebble.intercept((request) => {
    const path = request.url ?? "";
    seen.push(path);
    return stopAt === undefined ? false : isAt(path, stopAt);
  });
  const child: ChildProcess = fork(join(import.meta.dirname, "look-once.ts"), {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: join(place.folder, "pebble.pem") },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  child.stderr?.on("data", (chunk: Buffer) => output.push(chunk.toString()));
  return {
    process: child,
    output,
    reached: (path: RegExp | string) => {
      if (stopAt === undefined) {
        stopAt = path;
        void place
          .options()
          .then(({ challenges: _, resolvers: __, ...options }) =>
            child.send(JSON.stringify({ ...options, nameServer: place.knot.server })),
          );
      }
      return seen.some((one) => isAt(one, path));
    },
    [Symbol.asyncDispose]: async () => void child.kill("SIGKILL"),
  };
}

const isAt = (path: string, place: RegExp | string) =>
  typeof place === "string" ? path === place : place.test(path);
