import { describe, expect, it } from 'vitest'
import { SpareBuffers } from '../../../src/adapters/segment-engine/spare-buffers.ts'

const MIB = 1024 * 1024
let madeCount = 0

function spareBuffers(mostBytes = MIB) {
  madeCount = 0
  return new SpareBuffers(mostBytes, (sizeBytes) => {
    madeCount++
    return new ArrayBuffer(sizeBytes)
  })
}

describe('spare buffers', () => {
  it('gives back what was given, by size, the last first', () => {
    const spare = spareBuffers()
    const [a, b, c] = [new ArrayBuffer(10), new ArrayBuffer(10), new ArrayBuffer(11)]
    for (const buffer of [a, b, c]) spare.give(buffer)
    expect(spare.take(10)).toBe(b)
    expect(spare.take(10)).toBe(a)
    expect(madeCount).toBe(0)
    expect(spare.take(10).byteLength).toBe(10)
    expect(madeCount).toBe(1)
    expect(spare.take(11)).toBe(c)
  })

  it('takes no buffer that was sent away', () => {
    const spare = spareBuffers()
    const buffer = new ArrayBuffer(10)
    structuredClone(buffer, { transfer: [buffer] })
    spare.give(buffer)
    expect(spare.take(10)).not.toBe(buffer)
  })

  it('keeps no more than it may, and lets go of sizes that are no longer asked for', () => {
    const spare = spareBuffers(32 * MIB)
    for (let i = 0; i < 8; i++) spare.give(new ArrayBuffer(8 * MIB))
    for (let i = 0; i < 3; i++) spare.take(8 * MIB)
    expect(madeCount).toBe(0)
    for (let i = 0; i < 20; i++) spare.give(new ArrayBuffer(2 * MIB))
    for (let i = 0; i < 16; i++) spare.take(2 * MIB)
    expect(madeCount).toBe(0)
    spare.take(2 * MIB)
    spare.take(8 * MIB)
    expect(madeCount).toBe(2)
  })
})
