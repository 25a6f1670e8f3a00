/** Whose name servers these are (appliance/dns/recognize-provider.ts). */
import { describe, expect, it } from "vitest";
import { providersByHand } from "../../../appliance/dns/by-hand.ts";
import { providers } from "../../../appliance/dns/providers/providers.ts";
import { pathByHand, recognizeProvider } from "../../../appliance/dns/recognize-provider.ts";

const nameOf = (...servers: string[]) => recognizeProvider(servers)?.name;

describe("a provider", () => {
  it("is known by its name servers, whatever their case and final dot", () => {
    expect(recognizeProvider(["NS1.Linode.com.", "ns2.linode.com."])).toMatchObject({
      ...{ how: "interface", name: "Linode", provider: { id: "linode" } },
    });
    expect(nameOf("1-you.njalla.no", "2-can.njalla.in", "3-get.njalla.fo")).toBe("Njalla");
    expect(nameOf("ns1.dnsimple.com", "ns2.dnsimple-edge.net")).toBe("DNSimple");
    expect(nameOf("ns1dfg.name.com", "ns2fgh.name.com")).toBe("Name.com");
    expect(nameOf("ns1.vultr.com", "ns2.vultr.com")).toBe("Vultr");
  });

  it("without an adapter brings the way to enter records by hand", () => {
    expect(recognizeProvider(["dns1.registrar-servers.com", "dns2.registrar-servers.com"])).toMatchObject({
      ...{
        how: "hand",
        name: "Namecheap",
        path: expect.arrayContaining([expect.stringContaining("Custom MX")]),
      },
    });
    expect(nameOf("ns01.domaincontrol.com", "ns02.domaincontrol.com")).toBe("GoDaddy");
    expect(nameOf("ns-1.awsdns-00.co.uk", "ns-512.awsdns-01.net", "ns-1025.awsdns-02.org")).toBe(
      "Amazon Route 53",
    );
  });

  it("tells something general to others", () => {
    expect(pathByHand(["dns1.registrar-servers.com"])[0]).toMatch(/Advanced DNS/);
    expect(pathByHand(["ns1.linode.com"])).toEqual(pathByHand(["ns.example.org"]));
    expect(pathByHand(["ns.example.org"])[0]).toMatch(/Zone editor/);
  });

  it("is the one that most servers belong to, and nobody when that is open", () => {
    expect(nameOf("ns1.linode.com", "ns2.linode.com", "ns.example.org")).toBe("Linode");
    expect(nameOf("ns1.linode.com", "ns.example.org", "ns.example.net")).toBeUndefined();
    expect(nameOf("ns1.linode.com", "ns1.vultr.com")).toBeUndefined();
    expect(nameOf()).toBeUndefined();
  });

  it("is not known by half a label", () => {
    expect(nameOf("ns1.notlinode.com", "ns1.linode.com.example.org")).toBeUndefined();
  });

  it("has name servers that are nobody else's", () => {
    const all = [...providers, ...providersByHand];
    for (const who of all) {
      const others = all.filter((one) => one !== who).flatMap(({ nameServers }) => nameServers);
      for (const end of who.nameServers) {
        expect(end).toMatch(/^\.?[a-z0-9.-]+$/);
        expect(others.filter((other) => other === end || other.endsWith(`.${end}`))).toEqual([]);
      }
    }
  });
});
