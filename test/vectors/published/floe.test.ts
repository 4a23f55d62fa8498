import { expect, it } from 'vitest'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { floeOpen, sealedSegmentCount } from '../../../src/crypto/floe-message.ts'
import { createFloeHeader, FloeKey, floeParameters } from '../../../src/crypto/floe.ts'
import { noblePrimitives } from '../../../src/crypto/noble-primitives.ts'
import { concat } from '../../../src/crypto/bytes.ts'
import { hex, toHex } from '../../support/bytes.ts'
import { describePublished, readVector, runCases } from '../../support/published-vectors.ts'
import { range } from '../../support/subsets.ts'

const KEY = new Uint8Array(32)
const AAD = new TextEncoder().encode('This is AAD')

const names = [
  ...['cpp', 'go', 'java', 'pub_java', 'rust'].flatMap((who) => [`${who}_GCM256_IV256_4K`, `${who}_GCM256_IV256_64`, `${who}_rotation`]),
  'java_lastSegAligned',
  'java_lastSegEmpty',
]

/** Length of segments as the header has it, and the rotation mask that only the file's name tells. */
function parametersOf(name: string, ciphertext: Uint8Array) {
  const segmentBytes = new DataView(ciphertext.buffer).getUint32(2)
  return floeParameters(segmentBytes, name.includes('rotation') ? 2 : 20)
}

describePublished('FLOE, github.com/Snowflake-Labs/floe-specification', () => {
  const read = (name: string, part: 'ct' | 'pt') => hex(readVector(`floe/${name}_${part}.txt`).toString('ascii').trim())

  it.each([['node:crypto', nodePrimitives], ['noble', noblePrimitives]] as const)('opens all pairs and seals them to the same bytes on %s', (_name, primitives) => {
    const ran = runCases(names, (name) => name, (name) => {
      const ciphertext = read(name, 'ct')
      const plaintext = read(name, 'pt')
      const parameters = parametersOf(name, ciphertext)
      expect(toHex(floeOpen(primitives, KEY, AAD, ciphertext, parameters))).toBe(toHex(plaintext))

      // segment by segment: one vector ends with an empty segment behind a full one, as a writer makes who learns the end late
      const { segmentBytes } = parameters
      const iv = ciphertext.subarray(10, 42)
      const header = createFloeHeader(primitives, KEY, AAD, iv, parameters)
      const floe = new FloeKey(primitives, KEY, AAD, header, parameters)
      const count = sealedSegmentCount(ciphertext.length - 74, parameters)
      const segments = range(count).map((i) => {
        const nonce = ciphertext.subarray(74 + i * segmentBytes + 4).subarray(0, 12)
        const plain = plaintext.subarray(i * (segmentBytes - 32), (i + 1) * (segmentBytes - 32))
        return floe.sealSegment(i, plain, i === count - 1, nonce)
      })
      expect(toHex(concat(header, ...segments))).toBe(toHex(ciphertext))
    })
    expect(ran).toBe(17)
  })
})
