/**
 * The bill of materials of an image: Debian's packages, the Node runtime, our programs and the npm packages in
 * them, as CycloneDX 1.6 JSON (ECMA-424). CycloneDX and not SPDX because it is made for security questions: one
 * package URL a component is what scanners of known weaknesses take. Called by image/rootfs/root-content.ts; pure,
 * and the same inputs give the same bytes.
 */
import { createHash } from "node:crypto";
import type { LockedPackage } from "../packages/lock.ts";
import type { Architecture } from "../spec.ts";
import type { NpmPackage } from "./npm-packages.ts";

/** Where it lies in the root file system, relative to the root. */
export const SBOM_PATH = "usr/share/homing/sbom.cdx.json";

/** The Debian release, as package URLs name it. */
const DISTRIBUTION = "debian-13";

export type DebianComponent = LockedPackage &
  Readonly<{
    /** The source package with its version, from the package's control file. */
    source: Readonly<{ name: string; version: string }>;
  }>;

export type ProgramComponent = Readonly<{
  /** File name in /usr/lib/homing. */
  name: string;
  content: Uint8Array;
  npm: readonly NpmPackage[];
}>;

export type SbomInput = Readonly<{
  architecture: Architecture;
  /** Of Homing. */
  version: string;
  /** Time of the lock in seconds since 1970. */
  time: number;
  debian: readonly DebianComponent[];
  node: Readonly<{ packageName: string; version: string; program: Uint8Array }>;
  programs: readonly ProgramComponent[];
}>;

type Hash = Readonly<{ alg: "SHA-256" | "SHA-512"; content: string }>;
type Component = Readonly<{
  type: "application" | "library" | "operating-system" | "platform";
  "bom-ref": string;
  name: string;
  version: string;
  purl?: string;
  hashes?: readonly Hash[];
  licenses?: readonly (Readonly<{ license: { id: string } }> | Readonly<{ expression: string }>)[];
  properties?: readonly Readonly<{ name: string; value: string }>[];
}>;

/** The document as UTF-8 JSON. */
export function buildSbom({ architecture, version, time, debian, node, programs }: SbomInput): Buffer {
  const own: Component = {
    type: "operating-system",
    "bom-ref": `homing@${version}`,
    name: "homing",
    version,
    licenses: [{ license: { id: "MIT" } }],
    properties: [{ name: "homing:architecture", value: architecture }],
  };
  const runtime: Component = {
    type: "platform",
    "bom-ref": npmUrl(node.packageName, node.version),
    name: "node",
    version: node.version,
    purl: npmUrl(node.packageName, node.version),
    hashes: [hashOf(node.program)],
    licenses: [{ license: { id: "MIT" } }],
    properties: [{ name: "homing:path", value: "/usr/lib/homing/node" }],
  };
  const packages = debian.map((one) => debianComponent(one, architecture));
  const bundles = programs.map(({ name, content }): Component => {
    return {
      type: "application",
      "bom-ref": `homing@${version}/${name}`,
      name,
      version,
      hashes: [hashOf(content)],
      licenses: [{ license: { id: "MIT" } }],
      properties: [{ name: "homing:path", value: `/usr/lib/homing/${name}` }],
    };
  });
  const npm = new Map<string, Component>();
  for (const one of programs.flatMap((program) => program.npm)) {
    const component = npmComponent(one);
    npm.set(component["bom-ref"], component);
  }
  const refs = (components: Iterable<Component>) => [...components].map((one) => one["bom-ref"]).sort();
  const components = [runtime, ...packages, ...bundles, ...npm.values()].sort((a, b) =>
    a["bom-ref"] < b["bom-ref"] ? -1 : 1,
  );
  const content = {
    version: 1,
    metadata: {
      timestamp: new Date(time * 1000).toISOString(),
      lifecycles: [{ phase: "build" }],
      component: own,
    },
    components,
    dependencies: [
      { ref: own["bom-ref"], dependsOn: refs([runtime, ...packages, ...bundles]) },
      ...programs.map((program, index) => ({
        ref: bundles[index]!["bom-ref"],
        dependsOn: [runtime["bom-ref"], ...refs(program.npm.map(npmComponent))],
      })),
    ],
  };
  const document = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: serialNumber(JSON.stringify(content)),
    ...content,
  };
  return Buffer.from(`${JSON.stringify(document, null, 2)}\n`);
}

function debianComponent(one: DebianComponent, architecture: Architecture): Component {
  const { name, version, path, sha256, use, source } = one;
  const packageArchitecture = path.endsWith("_all.deb") ? "all" : architecture;
  // "upstream" is how scanners learn of the source package, which Debian's security tracker goes by.
  const upstream = source.version === version ? source.name : `${source.name}@${source.version}`;
  const qualifiers = [
    `arch=${packageArchitecture}`,
    `distro=${DISTRIBUTION}`,
    ...(source.name === name && source.version === version ? [] : [`upstream=${encodePart(upstream)}`]),
  ];
  const purl = `pkg:deb/debian/${encodePart(name)}@${encodePart(version)}?${qualifiers.join("&")}`;
  return {
    type: "library",
    "bom-ref": purl,
    name,
    version,
    purl,
    hashes: [{ alg: "SHA-256", content: sha256 }],
    properties: [
      { name: "homing:debian:architecture", value: packageArchitecture },
      { name: "homing:debian:source", value: source.name },
      { name: "homing:debian:source-version", value: source.version },
      { name: "homing:debian:path", value: path },
      { name: "homing:use", value: use },
    ],
  };
}

function npmComponent({ name, version, license, sha512 }: NpmPackage): Component {
  const purl = npmUrl(name, version);
  return {
    type: "library",
    "bom-ref": purl,
    name,
    version,
    purl,
    hashes: [{ alg: "SHA-512", content: sha512 }],
    licenses: [/[ ()]/.test(license) ? { expression: license } : { license: { id: license } }],
  };
}

function npmUrl(name: string, version: string): string {
  return `pkg:npm/${name.split("/").map(encodePart).join("/")}@${encodePart(version)}`;
}

/** Package URL specification, "Character encoding": as in URLs, but the colon stays. */
function encodePart(text: string): string {
  return encodeURIComponent(text).replaceAll("%3A", ":");
}

function hashOf(content: Uint8Array): Hash {
  return { alg: "SHA-256", content: createHash("sha256").update(content).digest("hex") };
}

/** A UUID made from the content (RFC 9562 §5.8, version 8): every other document has another. */
function serialNumber(content: string): string {
  const bytes = createHash("sha256").update(content).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `urn:uuid:${[hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")}`;
}
