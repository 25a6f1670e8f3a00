/** Which folders are mailboxes, and what is deleted with one. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { parseRelayConfig } from "../../../appliance/relay-config.ts";
import { nameRefusal } from "../../../services/auth/rules.ts";
import { foldersIn, makeStore } from "./store.ts";

const config = parseRelayConfig('domain = "chat.example.org"\n', "relay.toml");

it("looks after every name that an account may have, one with a hyphen in front as well", () => {
  using store = makeStore();
  const letter = fc.constantFrom(..."ab09._-");
  fc.assert(
    fc.property(fc.array(letter, { minLength: 9, maxLength: 12 }), (letters) => {
      const address = `${letters.join("")}@chat.example.org`;
      fc.pre(nameRefusal(address, config) === undefined);
      store.add(address, 1, 100);
      expect(store.mailboxes.addresses()).toEqual([address]);
      expect(store.mailboxes.messages(address)).toHaveLength(1);
      store.mailboxes.removeAccount(address);
      expect(store.mailboxes.has(address)).toBe(false);
    }),
    { examples: [[[..."-aaaaaaaa"]], [[..."--------9"]], [[..."_a.b-c.9_"]]], numRuns: 50 },
  );
});

it("takes nothing else for a mailbox, and deletes no folder that is none", () => {
  using store = makeStore();
  const names = ["lost+found", ".hidden@chat.example.org", "A@chat.example.org", "@chat.example.org", "a@"];
  for (const name of names) mkdirSync(join(store.folder, "mail", name));
  const before = foldersIn(join(store.folder, "mail"));
  expect(store.mailboxes.addresses()).toEqual([]);
  for (const name of [...names, "..", "../mail", "", "index", "../a@b"])
    expect(() => store.mailboxes.removeAccount(name)).toThrow(TypeError);
  expect(foldersIn(join(store.folder, "mail"))).toEqual(before);
});
