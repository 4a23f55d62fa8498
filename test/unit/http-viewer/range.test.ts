import { describe, expect, it } from 'vitest'
import { parseRange, rangeApplies } from '../../../src/http/range.ts'

const part = (startBytes: number, endBytes: number) => ({ kind: 'part', startBytes, endBytes })
const whole = { kind: 'whole' }
const unsatisfiable = { kind: 'unsatisfiable' }

describe('Range', () => {
  it.each([
    [undefined, whole],
    ['bytes=0-0', part(0, 1)],
    ['bytes=0-99', part(0, 100)],
    ['bytes=0-100', part(0, 100)],
    ['bytes=99-', part(99, 100)],
    ['bytes=-1', part(99, 100)],
    ['bytes=-100', part(0, 100)],
    ['bytes=-1000', part(0, 100)],
    ['bytes=10-18446744073709551615', part(10, 100)],
    ['bytes=-18446744073709551615', part(0, 100)],
    ['BYTES= 5 - 6', whole],
    ['bytes= 5-6 ', part(5, 7)],
    // behind the end
    ['bytes=100-', unsatisfiable],
    ['bytes=100-200', unsatisfiable],
    ['bytes=-0', unsatisfiable],
    ['bytes=9999999999999999-', unsatisfiable],
    // several
    ['bytes=0-1,5-6', unsatisfiable],
    ['bytes=0-0,-1', unsatisfiable],
    ['bytes=,', unsatisfiable],
    // not ranges
    ['bytes=', whole],
    ['bytes=-', whole],
    ['bytes=6-5', whole],
    ['bytes=a-b', whole],
    ['bytes=--5', whole],
    ['bytes=1e1-20', whole],
    ['items=0-5', whole],
    ['0-5', whole],
  ])('%s of 100 bytes', (header, answer) => {
    expect(parseRange(header, 100)).toEqual(answer)
  })

  it('gives nothing of an empty body', () => {
    expect(parseRange('bytes=0-', 0)).toEqual(unsatisfiable)
    expect(parseRange('bytes=-5', 0)).toEqual(unsatisfiable)
    expect(parseRange(undefined, 0)).toEqual(whole)
  })

  it('counts with If-Range only when the tag is ours', () => {
    expect(rangeApplies(undefined, '"a"')).toBe(true)
    expect(rangeApplies('"a"', '"a"')).toBe(true)
    expect(rangeApplies('W/"a"', '"a"')).toBe(false)
    expect(rangeApplies('Mon, 23 Nov 2026 12:00:00 GMT', '"a"')).toBe(false)
  })
})
