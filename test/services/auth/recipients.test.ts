import { once } from "node:events";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createRecipientServer } from "../../../services/auth/recipients.ts";
import { createLog } from "../../../services/lib/log.ts";

const known = "abc123xyz@chat.example.org";

describe("the recipient socket", () => {
  let server: Server;
  let socket: Socket;
  let received: string;
  let logged: string;

  beforeEach(async () => {
    received = "";
    logged = "";
    server = createRecipientServer({
      exists: (address) => {
        if (address === "broken@chat.example.org") throw new Error("disk failure");
        return address === known;
      },
      log: createLog((line) => {
        logged += line;
      }),
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.on("data", (data) => {
      received += data;
    });
    await once(socket, "connect");
  });
  afterEach(() => {
    socket.destroy();
    server.close();
  });

  async function ask(...requests: string[]): Promise<string> {
    received = "";
    const answers = requests.length;
    socket.write(requests.map((text) => `${Buffer.byteLength(text)}:${text},`).join(""));
    while ((received.match(/\d+:[^,]*,/g) ?? []).length < answers) await once(socket, "data");
    return received;
  }

  it("knows an account and no other address", async () => {
    expect(await ask(`recipients ${known}`)).toBe("10:OK account,");
    expect(await ask("recipients nobody@chat.example.org")).toBe("9:NOTFOUND ,");
  });

  it("finds nothing for the parts of an address that Postfix also asks for", async () => {
    expect(await ask("recipients abc123xyz", "recipients @chat.example.org", "recipients ")).toBe(
      "9:NOTFOUND ,".repeat(3),
    );
  });

  it("answers questions that arrive in pieces or together, in order", async () => {
    const request = `recipients ${known}`;
    for (const byte of `${request.length}:${request},`) socket.write(byte);
    while (received === "") await once(socket, "data");
    expect(received).toBe("10:OK account,");
    expect(await ask(request, "recipients nobody@chat.example.org", request)).toBe(
      "10:OK account,9:NOTFOUND ,10:OK account,",
    );
  });

  it("says that it cannot tell when the store fails, so that mail waits", async () => {
    expect(await ask("recipients broken@chat.example.org")).toMatch(/^\d+:TEMP /);
    expect(logged).toContain("disk failure");
  });

  it.each(["hello\n", "99999:x", "5001:", "3:abc;", ":x,", "-1:x,"])(
    "cuts off a peer that sends %j",
    async (bytes) => {
      socket.on("error", () => {});
      socket.write(bytes);
      await once(socket, "close");
      expect(received).toBe("");
      expect(logged).toContain("cut off");
    },
  );
});
