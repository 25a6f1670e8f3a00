/** The fields are those that rpi-imager's schema demands (doc/json-schema/os-list-schema.json and schema-notes.md). */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { imagerManifest, imagerManifestText } from "../../../installer/flash/imager-manifest.ts";

const image = { path: "/tmp/my relays/ä.img.zst", bytes: 385_875_968, sha256: "a".repeat(64) };

test("tells Imager where the image is, how large and what of", async () => {
  const packed = { bytes: 123_000_000, sha256: "b".repeat(64) };
  const text = imagerManifestText({ ...image, packed }, "chat.example.org", 1_790_000_000);
  expect(text.slice(0, 40)).toContain(imagerManifest.mark);
  const { os_list, imager } = JSON.parse(text) as {
    os_list: Record<string, unknown>[];
    imager: { devices: Record<string, unknown>[] };
  };
  expect(os_list).toEqual([
    {
      name: "Homing: chat.example.org",
      description: expect.stringContaining("chatmail relay"),
      icon: expect.stringMatching(/^file:.*logo\.svg$/),
      url: "file:///tmp/my%20relays/%C3%A4.img.zst",
      extract_size: 385_875_968,
      extract_sha256: "a".repeat(64),
      image_download_size: 123_000_000,
      image_download_sha256: "b".repeat(64),
      release_date: "2026-09-21",
      devices: ["pi5-64bit", "pi4-64bit", "pi3-64bit"],
      init_format: "none",
    },
  ]);
  // What DeviceSelectionStep.qml offers: without a device there its “Next” stays grey.
  expect(imager.devices).toEqual([
    {
      name: expect.stringContaining("Zero 2"),
      description: expect.any(String),
      tags: os_list[0]!.devices,
      matching_type: "exclusive",
      default: true,
    },
  ]);
  expect(await readFile(fileURLToPath(os_list[0]!.icon as string), "utf8")).toContain("<svg");
});

test("an image that is not packed is its own download", () => {
  const text = imagerManifestText({ ...image, packed: undefined }, "chat.example.org", 1_790_000_000);
  expect(JSON.parse(text)).toMatchObject({
    os_list: [{ image_download_size: image.bytes, image_download_sha256: image.sha256 }],
  });
});
