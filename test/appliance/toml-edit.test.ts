/** Changes of single settings in a relay.toml (appliance/toml-edit.ts). */
import { describe, expect, it } from "vitest";
import { parseRelayConfig, renderRelayToml } from "../../appliance/relay-config.ts";
import { setTomlText, setTomlValue, TomlEditError } from "../../appliance/toml-edit.ts";

const set = (text: string, key: string, value: string) =>
  setTomlText(text, { section: "dkim", key, value, comment: "what it is" });

describe("setTomlText", () => {
  it("changes the value and leaves the rest of the line as it is", () => {
    const text = '# mine\ndomain = "a.example"\n[dkim]\n  selector  = "one" # why\n[push]\nenabled = true\n';
    expect(set(text, "selector", "two")).toBe(text.replace('"one"', '"two"'));
    expect(set(text.replaceAll('"one"', "'one'"), "selector", "two")).toBe(text.replace('"one"', '"two"'));
  });

  it("adds a missing key to its section, with a comment", () => {
    expect(set('[dkim]\nselector = "one"\n', "next_selector", "two")).toBe(
      '[dkim]\n# what it is\nnext_selector = "two"\n\nselector = "one"\n',
    );
    expect(set("[dkim]", "next_selector", "two")).toBe('[dkim]\n# what it is\nnext_selector = "two"\n\n');
  });

  it("adds a missing section at the end", () => {
    expect(set('domain = "a.example"', "selector", "two")).toBe(
      'domain = "a.example"\n\n[dkim]\n# what it is\nselector = "two"\n',
    );
  });

  it("keeps the line ends of other systems", () => {
    const text = 'domain = "a.example"\r\n[dkim]\r\nselector = "one"\r\n';
    expect(set(text, "selector", "two")).toBe(text.replace("one", "two"));
    expect(set(text, "next_selector", "two").replaceAll("\r\n", "")).not.toContain("\n");
    expect(set('domain = "a.example"\r\n', "selector", "two").replaceAll("\r\n", "")).not.toContain("\n");
  });

  it("changes what renderRelayToml writes, and what an older version wrote", () => {
    const text = renderRelayToml("a.example");
    expect(parseRelayConfig(set(text, "next_selector", "homing2"), "x").dkim.nextSelector).toBe("homing2");
    const older = text.replace(/^# The key that takes over.*\nnext_selector.*\n/m, "");
    expect(older).not.toContain("next_selector");
    expect(parseRelayConfig(set(older, "next_selector", "homing2"), "x").dkim).toEqual({
      selector: "homing1",
      nextSelector: "homing2",
    });
  });

  it.each([
    'dkim.selector = "one"\n',
    'dkim = { selector = "one" }\n',
    '[dkim]\nselector = """one"""\n',
    '[dkim]\n"selector" = "one"\n',
  ])("leaves what is written in another way to its owner: %j", (text) => {
    expect(() => set(text, "selector", "two")).toThrow(TomlEditError);
    expect(() => set(text, "selector", "two")).toThrow('set it to "two" by hand');
  });

  it("writes no value that could be more than a text", () => {
    expect(() => set("", "selector", 'a"\nb = "c')).toThrow(TomlEditError);
  });
});

describe("setTomlValue", () => {
  const contact = { section: undefined, key: "contact", comment: "how people reach you" };
  const keys = { section: "ssh", key: "authorized_keys", comment: "who may log in" };

  it("changes a setting above all sections, or adds it below the first one", () => {
    const text = '# mine\ncontact = "a" # old\ndomain = "a.example"\n[ssh]\ncontact = "b"\n';
    expect(setTomlValue(text, { ...contact, value: 'x"#\\y' })).toBe(
      text.replace('"a" #', `${JSON.stringify('x"#\\y')} #`),
    );
    expect(setTomlValue('domain = "a.example"\n[ssh]\n', { ...contact, value: "x" })).toBe(
      'domain = "a.example"\n\n# how people reach you\ncontact = "x"\n[ssh]\n',
    );
    expect(setTomlValue('[dkim]\nselector = "a"\n', { ...contact, value: "x" })).toBe(
      '# how people reach you\ncontact = "x"\n\n[dkim]\nselector = "a"\n',
    );
  });

  it("replaces a list that goes over lines, and keeps its line ends", () => {
    const text = '[ssh]\nauthorized_keys = [\n  "a",\n  "b",\n] # both\n\n[push]\n';
    const changed = '[ssh]\nauthorized_keys = [\n  "c d",\n] # both\n\n[push]\n';
    expect(setTomlValue(text, { ...keys, value: ["c d"] })).toBe(changed);
    expect(setTomlValue(text.replaceAll("\n", "\r\n"), { ...keys, value: ["c d"] })).toBe(
      changed.replaceAll("\n", "\r\n"),
    );
    expect(setTomlValue(text, { ...keys, value: [] })).toContain("\nauthorized_keys = [] # both\n");
  });

  it.each([
    '[ssh]\nauthorized_keys = [\n  "a", # the phone\n]\n',
    "ssh = { authorized_keys = [] }\n",
    "[ssh]\nauthorized_keys = [[]]\n",
  ])("leaves to its owner what it would lose something of: %j", (text) => {
    expect(() => setTomlValue(text, { ...keys, value: ["b"] })).toThrow(TomlEditError);
  });
});
