import { describe, expect, it } from 'vitest'
import { SpareBuffers } from '../../../src/adapters/segment-engine/spare-buffers.ts'

const MIB = 1024 * 1024

describe('spare buffers', () => {
  it('gives back what was given, by size, the last first', () => {
    const spare = new SpareBuffers()
    const [a, b, c] = [new ArrayBuffer(10), new ArrayBuffer(10), new ArrayBuffer(11)]
    for (const buffer of [a, b, c]) spare.give(buffer)
    expect(spare.take(10)).toBe(b)
    expect(spare.take(10)).toBe(a)
    expect(spare.take(10)).toBeUndefined()
    expect(spare.take(11)).toBe(c)
    expect(spare.takeOrMake(12).byteLength).toBe(12)
  })

  it('takes no buffer that was sent away', () => {
    const spare = new SpareBuffers()
    const buffer = new ArrayBuffer(10)
    structuredClone(buffer, { transfer: [buffer] })
    spare.give(buffer)
    expect(spare.take(10)).toBeUndefined()
  })

  it('keeps no more than 32 MiB, and lets go of sizes that are no longer asked for', () => {
    const spare = new SpareBuffers()
    for (let i = 0; i < 8; i++) spare.give(new ArrayBuffer(8 * MIB))
    for (let i = 0; i < 3; i++) expect(spare.take(8 * MIB)).toBeDefined()
    for (let i = 0; i < 20; i++) spare.give(new ArrayBuffer(2 * MIB))
    let kept = 0
    while (spare.take(2 * MIB) !== undefined) kept++
    expect(kept).toBe(16)
    expect(spare.take(8 * MIB)).toBeUndefined()
  })
})
