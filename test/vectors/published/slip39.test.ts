import { expect, it } from 'vitest'
import { isMosaikError } from '../../../src/domain/errors.ts'
import { combineMnemonics } from '../../../src/crypto/slip39/slip39.ts'
import { WORDS } from '../../../src/crypto/slip39/words.ts'
import { toHex } from '../../support/bytes.ts'
import { describePublished, readVector, readVectorJson, runCases } from '../../support/published-vectors.ts'

type Case = readonly [name: string, mnemonics: readonly string[], secret: string, xprv: string]

const PASSPHRASE = 'TREZOR'
const tooFew = /^\S+ (Basic sharing 2-of-3|Insufficient number of groups|Threshold number of groups, but insufficient)/

describePublished('SLIP-0039', () => {
  it('gives the secret of every valid set and refuses every invalid one', () => {
    const cases = readVectorJson<Case[]>('slip39/slip39-vectors.json')
    const ran = runCases(
      cases,
      ([name]) => name,
      ([name, mnemonics, secret]) => {
        let outcome: string
        try {
          outcome = toHex(combineMnemonics(mnemonics, PASSPHRASE))
        } catch (error) {
          if (!isMosaikError(error)) throw error
          outcome = error.code
        }
        expect(outcome).toBe(secret || (tooFew.test(name) ? 'E_SHARES_TOO_FEW' : 'E_RECOVERY_KEY'))
      },
    )
    expect(ran).toBe(45)
    expect(cases.filter(([, , secret]) => secret !== '')).toHaveLength(15)
  })

  it('has the words of the standard', () => {
    expect(WORDS).toEqual(readVector('slip39/wordlist.txt').toString('ascii').trim().split('\n'))
  })
})
