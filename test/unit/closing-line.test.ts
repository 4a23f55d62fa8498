import { expect, test } from 'vitest'
import { missedSuites, type RunTally } from '../support/closing-line-reporter.ts'

const tally: RunTally = {
  passed: 2,
  failed: 0,
  skipped: [{ id: 'test/contract/store.test.ts > swift > lists', reason: 'no swift' }],
  ran: ['test/contract/store.test.ts > ceph > lists', 'test/vectors/floe.test.ts > opens'],
}

test('a suite that ran whole is not missed', () => {
  const suites = ['test/vectors', 'test/vectors/floe.test.ts', 'test/contract/store.test.ts > ceph']
  expect(missedSuites(suites, tally, true)).toEqual([])
})

test('a suite of which something was skipped is missed', () => {
  const suites = ['test/contract/', 'test/contract/store.test.ts > swift']
  expect(missedSuites(suites, tally, false)).toEqual([
    'test/contract/: 1 skipped',
    'test/contract/store.test.ts > swift: 1 skipped',
  ])
})

test('a suite that is not there is missed when everything was to run', () => {
  expect(missedSuites(['test/e2e'], tally, true)).toEqual(['test/e2e: nothing of it ran'])
  expect(missedSuites(['test/e2e'], tally, false)).toEqual([])
})

test('a name is not the beginning of a longer one', () => {
  expect(missedSuites(['test/vec', 'test/contract/store.test.ts > ce'], tally, true)).toHaveLength(2)
})
