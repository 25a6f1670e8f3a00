/**
 * Settings under which whoever asks gets an account: the machine that runs the tests may be busy or small, and the limits
 * themselves are tested in rules.test.ts and sign-up-limits.test.ts.
 */
export const openSettings = `domain = "chat.example.org"
[sign_up]
max_load_average = 1000
min_free_memory_bytes = 0
min_free_disk_bytes = 0
network_burst = 1_000_000
relay_burst = 1_000_000
`;
