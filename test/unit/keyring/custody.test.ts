import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  SHARES_KEPT_MS,
  ShareCollector,
  custodyFingerprint,
  splitMasterKey,
  type NewCustody,
} from '../../../src/adapters/file-keyring/custody.ts'
import {
  changePassphrase,
  createFileKeyring,
  keyringLock,
  openFileKeyring,
  relockKeyring,
} from '../../../src/adapters/file-keyring/file-keyring.ts'
import type { FileKeyring } from '../../../src/adapters/file-keyring/opened-keyring.ts'
import { withMasterKey, type KeyringOpening } from '../../../src/adapters/file-keyring/unlock.ts'
import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { numberOfWord, WORDS } from '../../../src/crypto/slip39/words.ts'
import { dyingAtWrite } from '../../support/dying-at-write.ts'
import { choose, range } from '../../support/subsets.ts'
import { testKdfCost } from '../../support/test-vault.ts'

const root = mkdtempSync(join(tmpdir(), 'mosaik-custody-'))
afterAll(() => rmSync(root, { recursive: true }))
const random = nodeRandom()
const code = (expected: string) => expect.objectContaining({ code: expected }) as Error
const org = 'ab'.repeat(16)
const passphrase = 'correct horse battery'
const make = (officers = 5, threshold = 3): NewCustody => splitMasterKey({ primitives, random }, officers, threshold)
const collectorOf = ({ custody }: NewCustody, clock = nodeClock) => new ShareCollector(custody, { primitives, clock })

describe('shares of a master key', () => {
  it('give it back from every threshold of them, in any order, and from no fewer', () => {
    const made = make()
    for (const some of choose(range(5), 3)) {
      const collector = collectorOf(made)
      const [a, b, c] = some.toReversed().map((i) => made.mnemonics[i]!) as [string, string, string]
      expect(collector.give(a)).toBeUndefined()
      expect(collector.give(b)).toBeUndefined()
      expect(collector.given).toBe(2)
      expect(collector.give(c)).toEqual(made.masterKey)
      // forgotten at once
      expect(collector.given).toBe(0)
    }
  })

  it('are each judged when they come; a wrong one takes nothing from those before it', () => {
    const [made, other] = [make(), make()]
    const collector = collectorOf(made)
    expect(collector.give(made.mnemonics[0]!)).toBeUndefined()
    const refused = (words: string): string => {
      try {
        collector.give(words)
      } catch (error) {
        expect(error).toMatchObject({ code: 'E_KEYRING_SHARE' })
        return (error as Error).message
      }
      throw new Error('it was taken')
    }
    const list = made.mnemonics[1]!.split(' ')
    const mistyped = list.with(8, WORDS[(numberOfWord(list[8]!)! + 1) % 1024]!).join(' ')
    expect(refused(made.mnemonics[0]!)).toMatch(/share 1 was given already/)
    expect(refused(other.mnemonics[1]!)).toMatch(/of another vault, or of an earlier custody/)
    expect(refused(mistyped)).toBe('the share cannot be used: a word is wrong, or two changed places')
    expect(refused('')).toMatch(/it has 0 words/)
    expect(refused(list.with(3, 'vogon').join(' '))).toMatch(/word 4 is not in the word list/)
    for (const message of [refused(mistyped), refused(other.mnemonics[1]!)]) expect(message).not.toMatch(list[8]!)
    expect(collector.given).toBe(1)
    collector.give(made.mnemonics[1]!)
    expect(collector.give(made.mnemonics[4]!)).toEqual(made.masterKey)
  })

  it('are forgotten when nobody goes on', () => {
    const clock = { ...nodeClock, atMs: 0, monotonicMs: () => clock.atMs }
    const made = make()
    const collector = collectorOf(made, clock)
    collector.give(made.mnemonics[0]!)
    clock.atMs = SHARES_KEPT_MS - 1
    collector.give(made.mnemonics[1]!)
    clock.atMs += SHARES_KEPT_MS - 1
    expect(collector.given).toBe(2)
    expect(collector.forgetExpired()).toBe(false)
    clock.atMs += 1
    expect(collector.forgetExpired()).toBe(true)
    expect(collector.given).toBe(0)
    expect(collector.give(made.mnemonics[2]!)).toBeUndefined()
    collector.forget()
    expect(collector.given).toBe(0)
  })

  it('are refused for numbers that are no custody', () => {
    for (const [officers, threshold] of [
      [5, 1],
      [2, 3],
      [17, 3],
      [1, 1],
      [3, 2.5],
    ] as const) {
      expect(() => make(officers, threshold)).toThrow(code('E_SCHEME_INVALID'))
    }
  })
})

describe('a keyring in custody', () => {
  let folder: string
  const opened: FileKeyring[] = []
  const ports = () => ({ folder, clock: nodeClock, random, primitives })
  const file = () => join(folder, 'keyring.json')
  beforeEach(async () => {
    folder = mkdtempSync(join(root, 'k-'))
    const keyring = await createFileKeyring({ ...ports(), passphrase, record: () => Promise.resolve() }, testKdfCost)
    await keyring.createOrganisation(org)
    await keyring.spoolPublicKey()
    keyring.close()
  })
  afterEach(() => {
    for (const keyring of opened.splice(0)) keyring.close()
  })

  async function open(opening: KeyringOpening): Promise<FileKeyring> {
    const keyring = await openFileKeyring({ ...ports(), ...opening, record: () => Promise.resolve() })
    opened.push(keyring)
    return keyring
  }
  const relock = async (made: NewCustody, opening: KeyringOpening = { passphrase }) =>
    await relockKeyring({ ...ports(), ...opening }, () =>
      Promise.resolve({
        lock: { kdf: null, custody: made.custody },
        masterKey: new Uint8Array(made.masterKey),
      }),
    )
  const held = async (keyring: FileKeyring) => [
    await keyring.publicKeys(org),
    await keyring.pendingRecoverySeed(org),
    (await keyring.spoolPublicKey()).keyId,
  ]

  it('opens with its shares and not with the passphrase, loses nothing, and goes back to a passphrase', async () => {
    const made = make()
    const before = await open({ passphrase })
    const keys = await held(before)
    before.close()
    await relock(made)
    expect(keyringLock(folder)).toEqual({ kdf: null, custody: made.custody })
    expect(statSync(file()).mode & 0o777).toBe(0o600)
    await expect(open({ passphrase })).rejects.toThrow(code('E_KEYRING_LOCK'))
    const keyring = await open({ unlock: withMasterKey(made.masterKey) })
    expect(await held(keyring)).toEqual(keys)
    keyring.close()
    await changePassphrase({ ...ports(), unlock: withMasterKey(made.masterKey) }, 'a passphrase again', testKdfCost)
    expect(keyringLock(folder)).toMatchObject({ kdf: testKdfCost })
    await expect(open({ unlock: withMasterKey(made.masterKey) })).rejects.toThrow(code('E_KEYRING_LOCK'))
    expect(await held(await open({ passphrase: 'a passphrase again' }))).toEqual(keys)
  })

  it('names no share and no word in its file, and knows a later custody from an earlier one', async () => {
    const [first, second] = [make(), make(3, 2)]
    await relock(first)
    const text = readFileSync(file(), 'utf8')
    expect(text).toContain(first.custody.id)
    for (const words of first.mnemonics) for (const word of words.split(' ')) expect(text).not.toContain(` ${word} `)
    expect(text).not.toContain(Buffer.from(first.masterKey).toString('base64'))
    await relock(second, { unlock: withMasterKey(first.masterKey) })
    expect(custodyFingerprint(second.custody)).not.toBe(custodyFingerprint(first.custody))
    await expect(open({ unlock: withMasterKey(first.masterKey) })).rejects.toThrow(/the file was changed/)
    expect(() => collectorOf(second).give(first.mnemonics[0]!)).toThrow(code('E_KEYRING_SHARE'))
    expect((await held(await open({ unlock: withMasterKey(second.masterKey) }))).length).toBe(3)
  })

  it('binds what is in clear to what is sealed', async () => {
    const made = make()
    await relock(made)
    const text = readFileSync(file(), 'utf8')
    const json = JSON.parse(text) as { custody: { threshold: number; shares: string[] } }
    for (const change of [
      { custody: { ...json.custody, threshold: 2 } },
      { custody: { ...json.custody, shares: json.custody.shares.toReversed() } },
    ]) {
      writeFileSync(file(), JSON.stringify({ ...json, ...change }))
      await expect(open({ unlock: withMasterKey(made.masterKey) })).rejects.toThrow(code('E_CONFIG'))
    }
    for (const change of [
      { custody: undefined },
      { custody: { ...json.custody, threshold: 6 } },
      { custody: { ...json.custody, shares: [] } },
    ]) {
      writeFileSync(file(), JSON.stringify({ ...json, ...change }))
      expect(() => keyringLock(folder)).toThrow(code('E_CONFIG'))
    }
    writeFileSync(file(), text)
    chmodSync(file(), 0o600)
    await open({ unlock: withMasterKey(made.masterKey) })
  })

  it('is not made while somebody has the keyring open, and what fails before the last step changes nothing', async () => {
    const keyring = await open({ passphrase })
    await expect(relock(make())).rejects.toThrow(code('E_CONFLICT'))
    keyring.close()
    const before = readFileSync(file())
    const aborted = relockKeyring({ ...ports(), passphrase }, () => Promise.reject(new Error('the officers went away')))
    await expect(aborted).rejects.toThrow('the officers went away')
    expect(readFileSync(file())).toEqual(before)
    await expect(relock(make(), { passphrase: 'a wrong one, this' })).rejects.toThrow(code('E_KEYRING_PASSPHRASE'))
    // nobody can open it while the officers write their shares down
    await relockKeyring({ ...ports(), passphrase }, async () => {
      await expect(open({ passphrase })).rejects.toThrow(code('E_CONFLICT'))
      const made = make()
      return { lock: { kdf: null, custody: made.custody }, masterKey: made.masterKey }
    })
  })

  it('leaves, when the process dies at any write, what the passphrase or what the shares open', async () => {
    const ways = { passphrase: 0, shares: 0 }
    for (let at = 0; ; at++) {
      const made = make()
      const isCut = await dyingAtWrite(at, () => relock(made))
      const byShares = await open({ unlock: withMasterKey(made.masterKey) }).catch(() => undefined)
      const byPassphrase = await open({ passphrase }).catch(() => undefined)
      expect([byShares, byPassphrase].filter((one) => one !== undefined)).toHaveLength(1)
      expect((await held((byShares ?? byPassphrase)!)).length).toBe(3)
      for (const keyring of opened.splice(0)) keyring.close()
      ways[byShares ? 'shares' : 'passphrase']++
      if (byShares) {
        await changePassphrase({ ...ports(), unlock: withMasterKey(made.masterKey) }, passphrase, testKdfCost)
      }
      if (!isCut) break
    }
    expect(ways.passphrase).toBeGreaterThan(2)
    expect(ways.shares).toBeGreaterThan(2)
  })
})
