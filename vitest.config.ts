import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

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
 * With real servers, processes and files: a process a file, as many side by side as said. Tests start the servers that
 * they need and share them; `globalSetup` ends them after the last project.
 */
function real(name: string, groupOrder: number, maxWorkers: number) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      pool: 'forks' as const,
      maxWorkers,
      testTimeout: 3 * MINUTE_MS,
      hookTimeout: 3 * MINUTE_MS,
      globalSetup: ['test/support/services/global-setup.ts'],
      sequence: { groupOrder },
    },
  }
}

/** These take minutes: begun last, one of them would run alone at the end. */
const LONGEST = [
  'chaos/chaos.test.ts',
  'simulation/simulation.test.ts',
  'upkeep/rebuild.test.ts',
  'media/odd-files.test.ts',
  'pipeline/faults.test.ts',
  'e2e/watch.test.ts',
]

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((end) => moduleId.endsWith(end))
      return at < 0 ? LONGEST.length : at
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './test/support/closing-line-reporter.ts'],
    execArgv: ['--disable-warning=ExperimentalWarning'],
    teardownTimeout: MINUTE_MS,
    projects: [
      quick('unit', 20_000),
      quick('property', 2 * MINUTE_MS),
      quick('vectors', MINUTE_MS),
      real('contract', 1, 1),
      real('integration', 2, 2),
      real('e2e', 3, 2),
    ],
  },
})
