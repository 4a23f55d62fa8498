import { describe, expect, it } from 'vitest'
import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { checkBlock, checkFramedBlock, fragmentKey, tagBlock } from '../../../src/crypto/fragment-tag.ts'
import { bytesOf, toHex } from '../../support/bytes.ts'
import { createCipheriv, createHash, hkdfSync } from 'node:crypto'

const verifyKey = bytesOf(32, 1)
const header = bytesOf(256, 2)
const block = bytesOf(1024, 3)

describe('fragment tags', () => {
  it('are GMAC under HKDF(verify key, label ‖ SHA-256(header)) with the segment index as nonce', () => {
    const info = Buffer.concat([Buffer.from('mosaik/v1/fragment'), createHash('sha256').update(header).digest()])
    const key = hkdfSync('sha256', verifyKey, '', info, 32)
    const nonce = Buffer.from('000000000000000100000002', 'hex')
    const cipher = createCipheriv('aes-256-gcm', Buffer.from(key), nonce).setAAD(block)
    cipher.final()
    const ours = fragmentKey(primitives, verifyKey, header)
    expect(toHex(ours)).toBe(toHex(new Uint8Array(key)))
    expect(toHex(tagBlock(primitives.gcm(ours), 2 ** 32 + 2, block))).toBe(cipher.getAuthTag().toString('hex'))
  })

  it('bind block, place and every byte of the header', () => {
    const key = primitives.gcm(fragmentKey(primitives, verifyKey, header))
    const tag = tagBlock(key, 7, block)
    expect(checkBlock(primitives, key, 7, block, tag)).toBe(true)
    expect(checkBlock(primitives, key, 8, block, tag)).toBe(false)
    expect(checkBlock(primitives, key, 7, block.slice(16), tag)).toBe(false)
    expect(checkBlock(primitives, key, 7, block, tag.slice(0, 12))).toBe(false)
    for (let at = 0; at < 256; at++) {
      const other = header.slice()
      other[at]! ^= 1
      const otherKey = primitives.gcm(fragmentKey(primitives, verifyKey, other))
      expect(checkBlock(primitives, otherKey, 7, block, tag)).toBe(false)
    }
  })

  it('are checked as they lie in a fragment', () => {
    const key = primitives.gcm(fragmentKey(primitives, verifyKey, header))
    const framed = new Uint8Array([...block, ...tagBlock(key, 7, block)])
    expect(checkFramedBlock(primitives, key, 7, framed)).toBe(true)
    expect(checkFramedBlock(primitives, key, 7, framed.slice(1))).toBe(false)
    expect(checkFramedBlock(primitives, key, 7, framed.slice(0, 15))).toBe(false)
    framed[500]! ^= 4
    expect(checkFramedBlock(primitives, key, 7, framed)).toBe(false)
  })
})
