/** Who may make an account (sign_up.mode of relay.toml). Apart from the settings, whose schema no service loads. */

export const signUpModes = ["open", "invite", "closed"] as const;
export type SignUpMode = (typeof signUpModes)[number];
