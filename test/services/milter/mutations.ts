/**
 * What can be wrong with a message, as named changes of a valid one: header, MIME structure, armor, packets,
 * bytes. Each takes the whole message and a random source, and gives the changed message. Used by the property
 * tests and the fuzzer.
 */
import { delimiter, type Mutation, one } from "./mutation.ts";
import { armorMutations } from "./mutations-armor.ts";
import { headerMutations } from "./mutations-header.ts";
import { packetMutations } from "./mutations-packets.ts";
import { structureMutations } from "./mutations-structure.ts";

const byteMutations: readonly Mutation[] = [
  ["an end", (message, pick) => message.slice(0, pick(message.length + 1))],
  [
    "a character less",
    (message, pick) => {
      const at = pick(message.length);
      return message.slice(0, at) + message.slice(at + 1);
    },
  ],
  [
    "some characters",
    (message, pick) => {
      const at = pick(message.length);
      const text = one(pick, [
        String.fromCharCode(pick(256)),
        "\r\n",
        "\n",
        "\r",
        "\0",
        "=",
        "-",
        "--",
        delimiter,
        `\r\n${delimiter}\r\n`,
        "\r\n\r\n",
        ":",
        ";",
        '"',
        "(",
        ")",
        "\\",
        " ",
        "\t",
        "\xff",
        ".",
      ]);
      return message.slice(0, at) + text + message.slice(at + pick(text.length + 1));
    },
  ],
  [
    "a line less",
    (message, pick) => {
      const lines = message.split("\r\n");
      lines.splice(pick(lines.length), 1);
      return lines.join("\r\n");
    },
  ],
  [
    "a line twice",
    (message, pick) => {
      const lines = message.split("\r\n");
      const at = pick(lines.length);
      lines.splice(at, 0, lines[at]!);
      return lines.join("\r\n");
    },
  ],
  [
    "a line elsewhere",
    (message, pick) => {
      const lines = message.split("\r\n");
      const [line] = lines.splice(pick(lines.length), 1);
      lines.splice(pick(lines.length + 1), 0, line!);
      return lines.join("\r\n");
    },
  ],
];

export const mutations: readonly Mutation[] = [
  ...packetMutations,
  ...armorMutations,
  ...structureMutations,
  ...headerMutations,
  ...byteMutations,
];
