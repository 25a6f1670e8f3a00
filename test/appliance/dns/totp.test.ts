/** One-time passwords by the clock (appliance/dns/totp.ts): the examples of RFC 6238, appendix B, of six digits. */
import { describe, expect, it } from "vitest";
import { totpCode, totpKey } from "../../../appliance/dns/totp.ts";

describe("a one-time password", () => {
  // The key of the examples, "12345678901234567890", as apps take it.
  const key = totpKey("GEZD GNBV gy3t qojq GEZDGNBVGY3TQOJQ")!;

  it("is that of the standard's examples", () => {
    expect(Buffer.from(key).toString()).toBe("12345678901234567890");
    const codes = [59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000];
    expect(codes.map((seconds) => totpCode(key, seconds * 1000))).toEqual([
      ...["287082", "081804", "050471", "005924", "279037", "353130"],
    ]);
  });

  it("has a key of letters and digits only", () => {
    for (const text of ["", "123456", "JBSWY3D", "JBSWY3DPEHPK3PX0", "JBSWY3DPEHPK3PXP!"])
      expect(totpKey(text), text).toBeUndefined();
    expect(totpKey("JBSWY3DPEHPK3PXP====")).toEqual(totpKey("jbsw-y3dp-ehpk-3pxp"));
  });
});
