import { ml_kem1024, ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { expect, it } from 'vitest'
import { hex, toHex } from '../../support/bytes.ts'
import { describePublished, readVector, readVectorJson, refuses, runCases, wycheproof } from '../../support/published-vectors.ts'

const kems = { 'ML-KEM-768': ml_kem768, 'ML-KEM-1024': ml_kem1024 }
type Set = keyof typeof kems

interface Group {
  readonly tgId: number
  readonly parameterSet: string
  readonly function?: string
  readonly keyFormat?: string
  readonly tests: readonly Case[]
}
interface Case {
  readonly tcId: number
  readonly testPassed?: boolean
  readonly [field: string]: string | number | boolean | undefined
}

/** Cases of a NIST ACVP file joined with their expected results; ML-KEM-512 is no part of the vault. */
function acvp(name: string) {
  const prompt = readVectorJson<{ testGroups: Group[] }>(`nist-acvp/${name}.prompt.json`)
  const expected = readVectorJson<{ testGroups: Group[] }>(`nist-acvp/${name}.expectedResults.json`)
  const results = new Map(expected.testGroups.flatMap((group) => group.tests.map((test) => [`${group.tgId}/${test.tcId}`, test])))
  return prompt.testGroups
    .filter((group) => group.parameterSet in kems)
    .flatMap((group) =>
      group.tests.map((test) => ({
        kem: kems[group.parameterSet as Set],
        step: group.function ?? 'keyGen',
        keyFormat: group.keyFormat,
        id: test.tcId,
        bytes: (field: string) => hex(test[field] as string),
        expected: results.get(`${group.tgId}/${test.tcId}`)!,
      })),
    )
}
type AcvpCase = ReturnType<typeof acvp>[number]

function check({ kem, step, keyFormat, bytes, expected }: AcvpCase): void {
  const same = (field: string, actual: Uint8Array) => { expect(toHex(actual)).toBe((expected[field] as string).toLowerCase()) }
  const seedKey = () => kem.keygen(new Uint8Array([...bytes('d'), ...bytes('z')]))
  switch (step) {
    case 'keyGen':
      same('ek', seedKey().publicKey)
      same('dk', seedKey().secretKey)
      return
    case 'encapsulation': {
      const { cipherText, sharedSecret } = kem.encapsulate(bytes('ek'), bytes('m'))
      same('c', cipherText)
      same('k', sharedSecret)
      return
    }
    case 'decapsulation':
      same('k', kem.decapsulate(bytes('c'), keyFormat === 'seed' ? seedKey().secretKey : bytes('dk')))
      return
    case 'encapsulationKeyCheck':
      expect(!refuses(() => kem.encapsulate(bytes('ek'), new Uint8Array(32)))).toBe(expected.testPassed)
      return
    case 'decapsulationKeyCheck':
      expect(!refuses(() => kem.decapsulate(new Uint8Array(kem.lengths.cipherText!), bytes('dk')))).toBe(expected.testPassed)
      return
    default:
      throw new Error(`unknown function ${step}`)
  }
}

describePublished('NIST ACVP, FIPS 203', () => {
  it.each([
    ['ML-KEM-keyGen-FIPS203', 50],
    ['ML-KEM-encapDecap-FIPS203', 110],
    ['ML-KEM-encapDecap-FIPS203-tr1', 130],
  ])('%s: %i cases', (name, count) => {
    expect(runCases(acvp(name), (item) => item.id, check)).toBe(count)
  })
})

describePublished('Wycheproof, ML-KEM', () => {
  type Fields = Record<'seed' | 'ek' | 'dk' | 'c' | 'K' | 'm', string>

  it.each([['mlkem_768_keygen_seed_test', ml_kem768, 100], ['mlkem_1024_keygen_seed_test', ml_kem1024, 100]] as const)('%s', (file, kem, count) => {
    const ran = runCases(wycheproof<object, Fields>(file), ({ test }) => test.tcId, ({ test }) => {
      const keys = kem.keygen(hex(test.seed))
      expect([toHex(keys.publicKey), toHex(keys.secretKey)]).toEqual([test.ek, test.dk])
    })
    expect(ran).toBe(count)
  })

  it.each([['mlkem_768_test', ml_kem768, 193], ['mlkem_1024_test', ml_kem1024, 193]] as const)('%s', (file, kem, count) => {
    const ran = runCases(wycheproof<object, Fields>(file), ({ test }) => test.tcId, ({ test }) => {
      const run = () => kem.decapsulate(hex(test.c), kem.keygen(hex(test.seed)).secretKey)
      if (test.result === 'valid') expect(toHex(run())).toBe(test.K)
      else expect(refuses(run)).toBe(true)
    })
    expect(ran).toBe(count)
  })

  it.each([['mlkem_768_encaps_test', ml_kem768, 265], ['mlkem_1024_encaps_test', ml_kem1024, 269]] as const)('%s', (file, kem, count) => {
    const ran = runCases(wycheproof<object, Fields>(file), ({ test }) => test.tcId, ({ test }) => {
      const run = () => kem.encapsulate(hex(test.ek), hex(test.m))
      if (test.result === 'valid') expect([toHex(run().cipherText), toHex(run().sharedSecret)]).toEqual([test.c, test.K])
      else expect(refuses(run)).toBe(true)
    })
    expect(ran).toBe(count)
  })
})

describePublished('C2SP CCTV, ML-KEM', () => {
  it.each([['ML-KEM-768', ml_kem768, 780], ['ML-KEM-1024', ml_kem1024, 1040]] as const)('%s: every coefficient out of range is refused', (set, kem, count) => {
    const keys = readVector(`cctv-mlkem/modulus-${set}.txt.gz`).toString('ascii').split('\n').filter(Boolean)
    const ran = runCases(keys, (key) => `line ${keys.indexOf(key)}`, (key) => {
      expect(refuses(() => kem.encapsulate(hex(key), new Uint8Array(32)))).toBe(true)
    })
    expect(ran).toBe(count)
  })
})
