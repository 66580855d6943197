import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["kernel-tests/**/*.test.ts"],
    // Bounds for hangs, far above what a test takes on a busy machine of two cores.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    pool: "threads",
    maxWorkers: 2,
    reporters: process.env.CI ? ["default", ["json", { outputFile: "build/test-results.json" }]] : ["default"],
  },
});
