import { readFileSync } from 'node:fs'
import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from 'vitest/node'

/** What the closing words of a run are made of. */
export interface RunTally {
  passed: number
  failed: number
  skipped: { readonly id: string; readonly reason: string }[]
  /** `file > describe > test` of everything that ran, whatever came of it. */
  ran: string[]
}

/** True when the test `id` lies in `suite`: a folder, a file, or `file > describe name`. */
function liesIn(suite: string, id: string): boolean {
  const name = suite.replace(/\/$/, '')
  return id === name || id.startsWith(`${name} > `) || id.startsWith(`${name}/`)
}

/**
 * What is wrong with a run, given the suites that must run: those that were skipped, in whole or in part, and, when
 * the run was one of everything, those that are not there at all.
 */
export function missedSuites(mustRun: readonly string[], tally: RunTally, everything: boolean): string[] {
  return mustRun.flatMap((suite) => {
    const skipped = tally.skipped.filter(({ id }) => liesIn(suite, id)).length
    if (skipped > 0) return [`${suite}: ${skipped} skipped`]
    if (everything && !tally.ran.some((id) => liesIn(suite, id))) return [`${suite}: nothing of it ran`]
    return []
  })
}

function count(tally: RunTally, item: TestCase | TestSuite | TestModule, file: string, inFailedSuite: boolean): void {
  if (item.type === 'test') {
    const id = `${file} > ${item.fullName}`
    const result = item.result()
    if (result.state === 'passed') tally.passed++
    if (result.state === 'failed') tally.failed++
    if (result.state === 'passed' || result.state === 'failed') tally.ran.push(id)
    else {
      const unsaid = inFailedSuite
        ? 'its suite failed before it'
        : 'NO REASON GIVEN: use context.skip(condition, reason)'
      const reason = result.state === 'skipped' ? (result.note ?? unsaid) : 'the run ended before it'
      tally.skipped.push({ id, reason: item.options.mode === 'todo' ? 'todo' : reason })
    }
    return
  }
  const failedItself = item.errors().length > 0 // a file that does not load, a beforeAll that throws
  if (failedItself) tally.failed++
  for (const child of item.children) count(tally, child, file, inFailedSuite || failedItself)
}

/**
 * Ends a run by saying aloud what was skipped and why. The very last line is `N passed, N failed, N skipped`.
 * In CI a skip of a suite named in test/must-run.json is a failure.
 */
export default class ClosingLineReporter implements Reporter {
  private readonly tally: RunTally = { passed: 0, failed: 0, skipped: [], ran: [] }
  private missed: string[] = []
  private ended = false

  onInit(): void {
    process.once('exit', () => {
      this.print()
    })
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    for (const module of modules) count(this.tally, module, module.relativeModuleId, false)
    this.tally.failed += unhandled.length

    const mustRun = JSON.parse(readFileSync(new URL('../must-run.json', import.meta.url), 'utf8')) as {
      suites: string[]
    }
    this.missed = missedSuites(mustRun.suites, this.tally, process.env['MOSAIK_TEST_ALL'] === '1')
    if (process.env['CI'] === 'true') this.tally.failed += this.missed.length
    if (this.tally.failed > 0) process.exitCode = 1
    this.ended = true
  }

  private print(): void {
    const { passed, failed, skipped } = this.tally
    const lines: string[] = ['']
    if (skipped.length > 0) {
      lines.push(`SKIPPED, so not passed (${skipped.length}):`)
      for (const { id, reason } of skipped) lines.push(`  ${id}`, `    because: ${reason}`)
      lines.push('')
    }
    if (this.missed.length > 0) {
      lines.push(
        process.env['CI'] === 'true'
          ? 'FAILED, because these must run:'
          : 'In CI this would fail, because these must run:',
      )
      lines.push(...this.missed.map((line) => `  ${line}`), '')
    }
    // A run that broke down before its tests, or after them, has failed too.
    const broke = failed === 0 && (!this.ended || (process.exitCode !== undefined && process.exitCode !== 0))
    lines.push(`${passed} passed, ${broke ? 1 : failed} failed, ${skipped.length} skipped`)
    process.stdout.write(`${lines.join('\n')}\n`)
  }
}
