import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    // Real components start and stop inside tests; a hang must still end.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    coverage: {
      provider: "v8",
      include: ["**/*.ts"],
      exclude: ["tests/**", "**/*.test.ts", "vitest.config.ts", "local/docker.ts"],
    },
  },
});
