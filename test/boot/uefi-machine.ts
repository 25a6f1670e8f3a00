/**
 * An image in QEMU under UEFI, as a virtual machine with network: from the first boot to an encrypted message, and what
 * is left of it after the second and after a power cut. Called by uefi-vm.test.ts and uefi-pi.test.ts, which are two so
 * that they can run beside each other.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { truncate } from "node:fs/promises";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataDirectory, dataPaths, ports, sshPort } from "../../appliance/layout.ts";
import type { Architecture } from "../../image/spec.ts";
import type { TargetName } from "../../image/targets/target.ts";
import { inventAccount } from "../support/accounts.ts";
import {
  type MailPorts,
  makeKeyPair,
  readEncrypted,
  sendEncrypted,
  withInbox,
} from "../support/encrypted-letter.ts";
import {
  type BootedMachine,
  bootImage,
  buildTestImage,
  missingForQemu,
  type TestImage,
} from "../support/qemu.ts";
import { type Administrator, makeAdministrator } from "../support/ssh.ts";
import { waitFor } from "../support/wait.ts";

/** A relay takes new accounts only while it has a gigabyte free for mail. */
const DISK_BYTES = 4 * 2 ** 30;
const GROWN_DISK_BYTES = 5 * 2 ** 30;

/** Until a machine that just started has done what is in its queue. */
const BOOT_TIMEOUT = 120_000;

/** A relay's disk that lies in the vm image's machine beside its own, as a card of before in a reader may. */
const otherDomain = "_other.test";

/** Declares the tests of one image. */
export function bootUnderUefi(target: TargetName, architecture: Architecture, what: string): void {
  const missing = missingForQemu(architecture);
  describe.skipIf(missing !== undefined)(missing === undefined ? what : `${what} (${missing})`, () => {
    let image: TestImage;
    let other: TestImage | undefined;
    let machine: BootedMachine | undefined;
    let administrator: Administrator | undefined;
    const account = inventAccount(`_${target}.test`);
    const keys = makeKeyPair(account.address);
    const mailPorts = (): MailPorts => ({
      imaps: machine!.port(ports.imaps),
      submissions: machine!.port(ports.submissions),
    });

    beforeAll(async () => {
      administrator = await makeAdministrator();
      const authorizedKeys = administrator === undefined ? [] : [administrator.publicKey];
      image = await buildTestImage(target, `_${target}.test`, DISK_BYTES, { ssh: { authorizedKeys } });
      if (target === "vm") other = await buildTestImage(target, otherDomain);
    });
    afterAll(async () => {
      await machine?.kill();
      await image?.[Symbol.asyncDispose]();
      await administrator?.[Symbol.asyncDispose]();
      await other?.[Symbol.asyncDispose]();
    });

    it(`boots to a relay with all services, its data partition made${target === "vm" ? ", and leaves another relay's disk alone" : ""}`, async () => {
      const otherDisks = other ? [other.image.path] : [];
      machine = await bootImage(image, architecture, `${target}-uefi`, { otherDisks });
      console.log(`${what}: ready after ${machine.bootSeconds.toFixed(0)} s`);
      expect(machine.lines).toContainEqual(expect.stringMatching(/^homing: making the data partition$/));
      expect(machine.lines).toContainEqual(expect.stringContaining(`relay _${target}.test`));
      // The kernel saw the other disk first.
      if (other) expect(machine.lines).toContain("homing: slot a on /dev/vdb2");
    });

    it("makes an account at the first login and carries an encrypted message to it", async () => {
      const { publicKey, privateKey } = await keys;
      expect(await withInbox(mailPorts(), account, async (client) => client.mailbox)).toMatchObject({
        exists: 0,
      });
      await sendEncrypted(mailPorts(), account, account.address, publicKey, "Hello from the first boot");
      expect(await readEncrypted(mailPorts(), account, privateKey)).toBe("Hello from the first boot");
    });

    it("shows its page where `./homing vm` says, and makes an account there", async () => {
      const [, port] = /^ {2}https:\/\/127\.0\.0\.1:(\d+)\/$/m.exec(machine!.help)!;
      const page = await askWeb(Number(port), image.domain, "GET", "/");
      expect(page).toMatchObject({ status: 200, body: expect.stringContaining("dcaccount:") });
      const { status, body } = await askWeb(machine!.port(ports.https), image.domain, "POST", "/new");
      expect(status, body).toBe(200);
      const { email, password } = JSON.parse(body) as { email: string; password: string };
      const made = { address: email, password };
      expect(await withInbox(mailPorts(), made, async ({ mailbox }) => mailbox)).toMatchObject({ exists: 0 });
    });

    it("keeps mail indexes and the door's list whole over a power cut, and has an inode for every block (needs ssh)", async (context) => {
      if (administrator === undefined) return context.skip("ssh and ssh-keygen are missing");
      const port = machine!.port(sshPort);
      const options = await administrator.run(port, `findmnt --noheadings --output OPTIONS ${dataDirectory}`);
      expect(options.trim().split(",")).toContain("nodelalloc");
      // A file made in the directory has the attribute from it (chattr(1)).
      const attributes = await administrator.run(
        port,
        `touch ${dataPaths.mailIndex}/.test && lsattr -d ${dataPaths.mailIndex} ${dataPaths.mailIndex}/.test ${dataPaths.door} ${dataPaths.door}/delivered; rm ${dataPaths.mailIndex}/.test`,
      );
      expect(
        attributes
          .trim()
          .split("\n")
          .map((line) => /^\S*j\S* /.test(line)),
      ).toEqual([true, true, true, true]);
      const [inodes = 0, blocks = 0] = (
        await administrator.run(port, `stat --file-system --format '%c %b' ${dataDirectory}`)
      )
        .split(" ")
        .map(Number);
      expect(inodes).toBeGreaterThanOrEqual(blocks);
    });

    it("keeps the account and its mail over a second boot, on a disk that was enlarged", async () => {
      await machine!.shutDown();
      if (other) expect(await sha256OfFile(other.image.path)).toBe(other.image.sha256);
      await truncate(image.image.path, GROWN_DISK_BYTES);
      machine = await bootImage(image, architecture, `${target}-uefi`);
      expect(machine.lines).not.toContainEqual(expect.stringMatching(/^homing: (making|formatting)/));
      expect(machine.lines).toContain("homing: growing the data partition");
      expect(await readEncrypted(mailPorts(), account, (await keys).privateKey)).toBe(
        "Hello from the first boot",
      );
      const wrong = { ...account, password: `${account.password}x` };
      await expect(withInbox(mailPorts(), wrong, async () => "in")).rejects.toThrow();
    });

    it("keeps both after a power cut, and once what was taken right before it", async () => {
      const { publicKey, privateKey } = await keys;
      await sendEncrypted(mailPorts(), account, account.address, publicKey, "Right before the cut");
      await machine!.kill();
      machine = await bootImage(image, architecture, `${target}-uefi`);
      // At the first attempt: a torn index would refuse the first SELECT.
      const count = () =>
        withInbox(mailPorts(), account, async (client) => (await client.fetchAll("1:*", {})).length);
      await waitFor(
        "the message of before the cut is there",
        BOOT_TIMEOUT,
        async () => (await count()) !== 1,
      );
      expect(await readEncrypted(mailPorts(), account, privateKey)).toBe("Right before the cut");
      if (administrator !== undefined) {
        const run = (command: string) => administrator!.run(machine!.port(sshPort), command);
        await waitFor("the queue is empty", BOOT_TIMEOUT, async () => (await run("postqueue -j")) === "");
        expect(await run(`ls ${dataPaths.door}`)).toMatch(/^delivered\n(delivered\.old\n)?$/);
        expect(await run("journalctl --boot --output=cat --unit=homing-courier")).not.toMatch(
          /cannot|error/i,
        );
      }
      expect(await count()).toBe(2);
    });
  });
}

/** A request to a relay that shows a certificate of its own making. */
function askWeb(
  port: number,
  domain: string,
  method: string,
  path: string,
): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, servername: domain, rejectUnauthorized: false };
    request({ ...options, method, path, headers: { host: domain } }, async (response) => {
      const body = await text(response).catch(reject);
      if (body !== undefined) resolve({ status: response.statusCode, body });
    })
      .on("error", reject)
      .end();
  });
}

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
