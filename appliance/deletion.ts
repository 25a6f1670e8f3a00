/**
 * Whether the settings on deletion (days of messages and profiles, how full a mailbox may get) are obeyed by anything.
 * Asked by relay-settings.ts for the comments in relay.toml, and by services/web for what pages promise. Apart from the
 * settings, whose schema no service loads.
 */

/** True from the version on that deletes; then the marks in relay.toml go and the promises on the pages come. */
export const deletionIsEnforced: boolean = true;
