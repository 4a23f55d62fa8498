import { existsSync } from 'node:fs'
import { defineConfig } from 'vitest/config'

const MINUTE_MS = 60_000

/** Pure and quick: two threads, files side by side. */
function quick(name: string, testTimeout: number) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      pool: 'threads' as const,
      maxWorkers: 2,
      testTimeout,
      sequence: { groupOrder: 0 },
    },
  }
}

/**
 * With real servers, processes and files: one file after the other, a process each, in the order given. The servers
 * are started by `globalSetup`, which is called once a project and shares them between projects.
 */
function real(name: string, groupOrder: number) {
  const services = 'test/support/services/global-setup.ts'
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
      globalSetup: existsSync(services) ? [services] : [],
      sequence: { groupOrder },
    },
  }
}

export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line-reporter.ts'],
    execArgv: ['--disable-warning=ExperimentalWarning'],
    teardownTimeout: MINUTE_MS,
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
