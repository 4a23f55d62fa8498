import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { divide, multiply } from '../../../src/crypto/field.ts'
import { hex, toHex } from '../../support/bytes.ts'
import { describePublished, readVector, readVectorJson, runCases } from '../../support/published-vectors.ts'
import { range } from '../../support/subsets.ts'

type Point = readonly [x: number, y: Uint8Array]

/** Lagrange interpolation at `at`, in our field. */
function interpolate(points: readonly Point[], at: number): Uint8Array {
  const value = new Uint8Array(points[0]![1].length)
  for (const [x, y] of points) {
    const others = points.filter((point) => point[0] !== x)
    const weight = others.reduce((product, [other]) => multiply(product, divide(at ^ other, x ^ other)), 1)
    y.forEach((byte, i) => { value[i]! ^= multiply(weight, byte) })
  }
  return value
}

interface Tss {
  readonly valid: boolean
  readonly m: number
  readonly shares: readonly Point[]
  readonly hashId: number
  readonly secret: string
}

/** Botan's file: 16 bytes id, hash, M, length; then x and y of the share. */
function readTss(): Tss[] {
  const sections = readVector('tss-gf256-0x11b/recovery.vec').toString('ascii').split(/^\[(Valid|Invalid)\]$/m)
  return range((sections.length - 1) / 2).flatMap((i) =>
    sections[2 * i + 2]!.split(/\n(?=M = )/).filter((block) => block.includes('Shares')).map((block) => {
      const field = (name: string) => new RegExp(`^${name} = (.*)$`, 'm').exec(block)![1]!.trim()
      const raw = field('Shares').split(',').map(hex)
      return {
        valid: sections[2 * i + 1] === 'Valid',
        m: Number(field('M')),
        hashId: raw[0]![16]!,
        shares: raw.map((share) => [share[20]!, share.slice(21)] as const),
        secret: field('Recovered').toLowerCase(),
      }
    }),
  )
}

/** Secret ‖ its hash: the hash is what can say no. */
function recovered({ shares, m, hashId }: Tss, from: number): { secret: string; hashFits: boolean } {
  const whole = interpolate(shares.slice(from, from + m), 0)
  const hashBytes = [0, 20, 32][hashId]!
  const secret = whole.subarray(0, whole.length - hashBytes)
  const hash = hashId === 0 ? '' : createHash(hashId === 1 ? 'sha1' : 'sha256').update(secret).digest('hex')
  return { secret: toHex(secret), hashFits: hash === toHex(whole.subarray(whole.length - hashBytes)) }
}

describePublished('GF(2^8), threshold secret sharing over 0x11b', () => {
  it('recovers what Botan shared, from any run of shares, and notices a broken one', () => {
    const ran = runCases(readTss(), ({ secret, valid }) => `${secret} ${valid}`, (tss) => {
      for (const from of range(tss.shares.length - tss.m + 1)) {
        const { secret, hashFits } = recovered(tss, from)
        expect(hashFits && secret === tss.secret).toBe(tss.valid)
      }
    })
    expect(ran).toBe(4)
  })

  it('recovers the secret of draft-mcgrew-tss-03 §9', () => {
    const { secret, shares } = readVectorJson<{ secret: string; shares: { x: number; y: string }[] }>('tss-gf256-0x11b/draft-mcgrew-tss-03-section9.json')
    expect(toHex(interpolate(shares.map(({ x, y }) => [x, hex(y)] as const), 0))).toBe(secret)
  })

  it('is not the field 0x11d of Reed-Solomon libraries', () => {
    interface Other {
      readonly mul: readonly (readonly [number, number, number])[]
      readonly systematic_rs: { readonly k: number; readonly n: number; readonly data: number[][]; readonly parity: number[][] }
      readonly same_data_over_0x11b_parity: number[][]
      readonly mul_23_45_over_0x11b: number
    }
    const other = readVectorJson<Other>('gf256-0x11d.json')
    expect(multiply(23, 45)).toBe(other.mul_23_45_over_0x11b)
    expect(other.mul).toContainEqual([23, 45, 41])
    const { k, n, data, parity } = other.systematic_rs
    const points = data.map((y, x) => [x, Uint8Array.from(y)] as const)
    const ours = range(n - k).map((row) => [...interpolate(points, k + row)])
    expect(ours).toEqual(other.same_data_over_0x11b_parity)
    // the first three rows are the same in both fields: only later ones can tell
    expect(ours.slice(0, 3)).toEqual(parity.slice(0, 3))
    expect(ours.slice(3)).not.toEqual(parity.slice(3))
  })
})
