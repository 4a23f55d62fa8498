import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { describe, it } from 'vitest'

/**
 * Published test vectors are not part of this repository: they lie in `MOSAIK_VECTORS`, or in ../shared/vectors beside it.
 * Where they are missing the tests are skipped aloud; with `CI` set they fail.
 */
const folder = process.env.MOSAIK_VECTORS ?? fileURLToPath(new URL('../../../shared/vectors', import.meta.url))

/** A suite over published vectors, skipped or failed when there are none. */
export function describePublished(name: string, suite: () => void): void {
  if (existsSync(folder)) {
    describe(name, suite)
    return
  }
  const reason = `no published vectors in ${folder} (set MOSAIK_VECTORS)`
  if (process.env.CI) {
    it(name, () => {
      throw new Error(reason)
    })
  } else {
    describe(name, () => {
      it('are run', (context) => {
        context.skip(true, reason)
      })
    })
  }
}

/** A vector file's bytes; those of `.gz` unpacked. */
export function readVector(path: string): Buffer {
  const bytes = readFileSync(join(folder, path))
  return path.endsWith('.gz') ? gunzipSync(bytes) : bytes
}

/** A JSON vector file. */
export function readVectorJson<T>(path: string): T {
  return JSON.parse(readVector(path).toString('utf8')) as T
}

/**
 * Runs every case and gives their number. A failure names its case; the other cases still run.
 *
 * @throws Error when there is no case at all, or when one fails.
 */
export function runCases<T>(
  cases: readonly T[],
  nameOf: (item: T) => string | number,
  check: (item: T) => void,
): number {
  if (cases.length === 0) throw new Error('nothing to run: the vector file holds no cases of this kind')
  const failures: string[] = []
  for (const item of cases) {
    try {
      check(item)
    } catch (error) {
      failures.push(`${nameOf(item)}: ${error instanceof Error ? error.message : 'failed'}`)
    }
  }
  if (failures.length > 0) {
    throw new Error(`${failures.length} of ${cases.length} cases fail:\n${failures.slice(0, 10).join('\n')}`)
  }
  return cases.length
}

/** A Wycheproof file: groups of cases. */
export interface Wycheproof<Group, Case> {
  readonly testGroups: readonly (Group & { readonly tests: readonly (Case & WycheproofCase)[] })[]
}

export interface WycheproofCase {
  readonly tcId: number
  readonly result: 'valid' | 'invalid' | 'acceptable'
}

/** All cases of a Wycheproof file, each with its group. */
export function wycheproof<Group, Case>(file: string): { group: Group; test: Case & WycheproofCase }[] {
  const { testGroups } = readVectorJson<Wycheproof<Group, Case>>(`wycheproof/${file}.json`)
  return testGroups.flatMap((group) => group.tests.map((test) => ({ group, test })))
}

/** True when `run` throws. */
export function refuses(run: () => unknown): boolean {
  try {
    run()
    return false
  } catch {
    return true
  }
}
