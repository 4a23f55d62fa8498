import { describe, expect, it } from 'vitest'
import { copyBytes } from '../../../src/adapters/copy-bytes.ts'
import { freeAtOnce } from '../../../src/adapters/free-at-once.ts'

const own = (bytes: number): Uint8Array => new Uint8Array(bytes)
const shared = (bytes: number): Uint8Array => new Uint8Array(new SharedArrayBuffer(bytes))

describe('copying bytes', () => {
  for (const [from, makeSource] of Object.entries({ own, shared })) {
    for (const [to, makeTarget] of Object.entries({ own, shared })) {
      it(`copies a part of ${from} memory, and the whole of it, into ${to} memory, and nothing beside it`, () => {
        const source = makeSource(100)
        for (let i = 0; i < 100; i++) source[i] = i
        const target = makeTarget(120)
        copyBytes(source.subarray(10, 30), target.subarray(5, 25))
        expect([...target.subarray(0, 26)]).toEqual([0, 0, 0, 0, 0, ...source.subarray(10, 30), 0])
        copyBytes(source, target.subarray(20))
        expect([...target.subarray(20)]).toEqual([...source])
        copyBytes(source.subarray(0, 0), target)
        expect(target[19]).toBe(24)
        expect(() => {
          copyBytes(source, target.subarray(30))
        }).toThrow(RangeError)
      })
    }
  }
})

describe('freeing bytes', () => {
  it('leaves nothing to be read', () => {
    const bytes = Uint8Array.of(1, 2, 3)
    freeAtOnce(bytes)
    expect(bytes.length).toBe(0)
  })

  it('leaves a part of somebody’s memory, and shared memory, as they are', () => {
    const whole = Uint8Array.of(1, 2, 3)
    freeAtOnce(whole.subarray(1))
    const both = shared(3)
    freeAtOnce(both)
    expect([whole.length, both.length]).toEqual([3, 3])
  })
})
