import { defineConfig } from 'vitest/config'

const MINUTE_MS = 60_000

/** Pure and quick: two threads, files side by side, which share what they import: their tests leave no trace in it. */
function quick(name: string, testTimeout: number) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      pool: 'threads' as const,
      maxWorkers: 2,
      isolate: false,
      testTimeout,
      sequence: { groupOrder: 0 },
    },
  }
}

/**
 * With real servers, processes and files: one file after the other, a process each. Two side by side take as long as one
 * after the other, since most of them keep two cores busy by themselves. Tests start the servers that they need and share
 * them; `globalSetup` ends them after the last project.
 */
function real(name: string, groupOrder: number) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      pool: 'forks' as const,
      maxWorkers: 1,
      fileParallelism: false,
      testTimeout: 3 * MINUTE_MS,
      hookTimeout: 3 * MINUTE_MS,
      globalSetup: ['test/support/services/global-setup.ts'],
      sequence: { groupOrder },
    },
  }
}

export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line-reporter.ts'],
    execArgv: ['--disable-warning=ExperimentalWarning'],
    teardownTimeout: MINUTE_MS,
    // Node takes TypeScript itself, and keeps what it compiled.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    projects: [
      quick('unit', 20_000),
      quick('property', 2 * MINUTE_MS),
      quick('vectors', MINUTE_MS),
      real('contract', 1),
      real('integration', 2),
      real('e2e', 3),
    ],
  },
})
