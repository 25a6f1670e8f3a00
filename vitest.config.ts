import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** Three rings of tests; `npm test` (test/run.mjs) prepares what each needs and runs them one after the other. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/{appliance,image,installer,services,support}/**/*.test.ts"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
          // By itself vitest leaves one processor free, which is half of two.
          maxWorkers: availableParallelism(),
        },
      },
      {
        test: {
          name: "relay",
          include: ["test/relay/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "boot",
          include: ["test/boot/**/*.test.ts"],
          testTimeout: 900_000,
          hookTimeout: 900_000,
          // Two machines at once: one alone leaves half of two processors idle while it boots.
          maxWorkers: Math.min(2, availableParallelism()),
        },
      },
    ],
  },
});
