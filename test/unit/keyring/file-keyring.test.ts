import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { createFileKeyring, hasFileKeyring, openFileKeyring } from '../../../src/adapters/file-keyring/file-keyring.ts'
import type { FileKeyringOptions } from '../../../src/adapters/file-keyring/file-keyring.ts'
import { SPOOL_KEY_GRACE_MS, SPOOL_KEY_MAX_AGE_MS } from '../../../src/adapters/file-keyring/spool-keys.ts'
import type { UnwrapEntry } from '../../../src/adapters/file-keyring/unwrap-gate.ts'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { ascii } from '../../../src/crypto/bytes.ts'
import { hpkeSeal } from '../../../src/crypto/hpke.ts'
import { keyId, recoveryKemSeed, rootSigningSeed } from '../../../src/crypto/keys.ts'
import { signingKeys, verifyPair } from '../../../src/crypto/signature.ts'
import { toHex } from '../../../src/domain/ids.ts'
import type { KemPublicKey, WrappedKey } from '../../../src/ports/keyring.ts'

const root = mkdtempSync(join(tmpdir(), 'mosaik-keyring-'))
afterAll(() => rmSync(root, { recursive: true }))
const random = nodeRandom()
const cheap = { memoryKiB: 64, passes: 1, parallelism: 1 }
const passphrase = 'correct horse battery'
const code = (expected: string) => expect.objectContaining({ code: expected }) as Error
const org = 'ab'.repeat(16)

let folder: string
let nowMs: number
let entries: UnwrapEntry[]
let recordFails: boolean
let options: FileKeyringOptions

beforeEach(() => {
  folder = mkdtempSync(join(root, 'k-'))
  nowMs = 1_800_000_000_000
  entries = []
  recordFails = false
  options = {
    folder,
    passphrase,
    clock: { ...nodeClock, nowMs: () => nowMs, monotonicMs: () => nowMs },
    random,
    primitives: nodePrimitives,
    unwrapsPerMinute: 3,
    record: (entry) => {
      if (recordFails) return Promise.reject(new Error('log is full'))
      entries.push(entry)
      return Promise.resolve()
    },
  }
})

function wrap(key: KemPublicKey, secret: Uint8Array): { id: Uint8Array; wrapped: WrappedKey } {
  const [info, aad] = [ascii('mosaik/v1/manifest'), ascii('header')]
  const { suite, publicKey } = key
  const sealed = hpkeSeal(
    suite,
    nodePrimitives,
    publicKey,
    info,
    aad,
    secret,
    random.bytes(nodePrimitives.kem(suite).randomBytes),
  )
  return { id: keyId(nodePrimitives, suite, publicKey), wrapped: { suite, info, aad, ...sealed } }
}

describe('file keyring', () => {
  it('opens what it sealed, with both suites, after a restart', async () => {
    const made = await createFileKeyring(options, cheap)
    const keys = await made.createOrganisation(org)
    expect(keys).toMatchObject({ organisation: org, epoch: 1 })
    made.close()
    const again = await openFileKeyring(options)
    expect(await again.publicKeys(org)).toEqual(keys)
    for (const key of keys.kem) {
      const secret = random.bytes(32)
      const { id, wrapped } = wrap(key, secret)
      expect(await again.unwrap(org, id, wrapped, 'play')).toEqual(secret)
    }
    expect(entries).toHaveLength(2)
    expect(entries[0]).toMatchObject({ organisation: org, purpose: 'play', atMs: nowMs })
    const message = ascii('hello')
    const signature = await again.sign(org, 1, 'mosaik/v1/share', message)
    expect(verifyPair(nodePrimitives, keys.signing, 'mosaik/v1/share', message, signature)).toBe(true)
    expect(verifyPair(nodePrimitives, keys.signing, 'mosaik/v1/card', message, signature)).toBe(false)
    expect(again.organisations()).toEqual([org])
  })

  it('says nothing but that the passphrase is wrong', async () => {
    await createFileKeyring(options, cheap)
    await expect(openFileKeyring({ ...options, passphrase: 'correct horse batterz' })).rejects.toThrow(
      code('E_KEYRING_PASSPHRASE'),
    )
    const path = join(folder, 'keyring.json')
    const file = JSON.parse(readFileSync(path, 'utf8')) as { revision: number; kdf: { passes: number } }
    writeFileSync(path, JSON.stringify({ ...file, revision: 7 }))
    await expect(openFileKeyring(options)).rejects.toThrow(code('E_KEYRING_PASSPHRASE'))
  })

  it('takes the passphrase in any Unicode form', async () => {
    await createFileKeyring({ ...options, passphrase: 'Schlüssel-Ärger' }, cheap)
    await openFileKeyring({ ...options, passphrase: 'Schlu\u0308ssel-A\u0308rger' })
  })

  it('refuses damaged, foreign and readable files, and short passphrases', async () => {
    await expect(openFileKeyring(options)).rejects.toThrow(code('E_CONFIG'))
    expect(hasFileKeyring(folder)).toBe(false)
    await expect(createFileKeyring({ ...options, passphrase: 'short' }, cheap)).rejects.toThrow(code('E_INPUT'))
    await createFileKeyring(options, cheap)
    expect(hasFileKeyring(folder)).toBe(true)
    await expect(createFileKeyring(options, cheap)).rejects.toThrow(code('E_CONFLICT'))
    const path = join(folder, 'keyring.json')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    const good = readFileSync(path, 'utf8')
    for (const bad of ['', '{}', good.replace('"version": 1', '"version": 2'), good.replace('"kdf"', '"kfd"')]) {
      writeFileSync(path, bad)
      await expect(openFileKeyring(options)).rejects.toThrow(code('E_CONFIG'))
    }
    writeFileSync(path, good)
    chmodSync(path, 0o644)
    await expect(openFileKeyring(options)).rejects.toThrow(/chmod 600/)
  })

  it('keeps no secret readable in its files', async () => {
    const keyring = await createFileKeyring(options, cheap)
    await keyring.createOrganisation(org)
    await keyring.spoolPublicKey()
    const seed = (await keyring.pendingRecoverySeed(org))!
    const all = readdirSync(folder).map((name) => readFileSync(join(folder, name)))
    for (const form of [
      Buffer.from(seed),
      Buffer.from(toHex(seed)),
      Buffer.from(Buffer.from(seed).toString('base64')),
    ]) {
      expect(all.some((file) => file.includes(form))).toBe(false)
    }
    expect(readdirSync(folder).sort()).toEqual(['keyring-spool.json', 'keyring.json', 'keyring.lock', 'keyring.users'])
  })

  it('gives the recovery seed until it was shown, and signs as root until then', async () => {
    const keyring = await createFileKeyring(options, cheap)
    const keys = await keyring.createOrganisation(org)
    const seed = (await keyring.pendingRecoverySeed(org))!
    for (const { suite, publicKey } of keys.recovery) {
      expect(nodePrimitives.kem(suite).keyPair(recoveryKemSeed(nodePrimitives, seed, suite)).publicKey).toEqual(
        publicKey,
      )
    }
    expect(signingKeys(nodePrimitives, rootSigningSeed(nodePrimitives, seed)).publicKeys).toEqual(keys.root)
    const signature = await keyring.signAsRoot(org, 'mosaik/v1/card', ascii('card'))
    expect(verifyPair(nodePrimitives, keys.root, 'mosaik/v1/card', ascii('card'), signature)).toBe(true)
    await keyring.confirmRecoveryShown(org)
    await keyring.confirmRecoveryShown(org)
    expect(await keyring.pendingRecoverySeed(org)).toBeUndefined()
    await expect(keyring.signAsRoot(org, 'mosaik/v1/card', ascii('card'))).rejects.toThrow(
      code('E_KEYRING_KEY_UNKNOWN'),
    )
    const again = await openFileKeyring(options)
    expect(await again.pendingRecoverySeed(org)).toBeUndefined()
    expect((await again.publicKeys(org)).root).toEqual(keys.root)
  })

  it('does not unwrap what it could not write down, what is foreign, or too much', async () => {
    const keyring = await createFileKeyring(options, cheap)
    const keys = await keyring.createOrganisation(org)
    const { id, wrapped } = wrap(keys.kem[0]!, random.bytes(32))
    recordFails = true
    await expect(keyring.unwrap(org, id, wrapped, 'play')).rejects.toThrow('log is full')
    recordFails = false
    await expect(keyring.unwrap(org, random.bytes(16), wrapped, 'play')).rejects.toThrow(code('E_KEYRING_KEY_UNKNOWN'))
    await expect(keyring.unwrap('cd'.repeat(16), id, wrapped, 'play')).rejects.toThrow(code('E_KEYRING_KEY_UNKNOWN'))
    await expect(keyring.unwrap(org, id, { ...wrapped, aad: ascii('other') }, 'play')).rejects.toThrow(
      code('E_HPKE_OPEN'),
    )
    await keyring.unwrap(org, id, wrapped, 'play')
    await expect(keyring.unwrap(org, id, wrapped, 'play')).rejects.toThrow(code('E_KEYRING_RATE'))
    nowMs += 60_000
    await keyring.unwrap(org, id, wrapped, 'play')
    expect(entries).toHaveLength(3)
  })

  it('derives a link key a period and organisation', async () => {
    const keyring = await createFileKeyring(options, cheap)
    await keyring.createOrganisation(org)
    await keyring.createOrganisation('cd'.repeat(16))
    const keys = [
      await keyring.linkKey(org, '2026-11'),
      await keyring.linkKey(org, '2026-12'),
      await keyring.linkKey('cd'.repeat(16), '2026-11'),
    ]
    expect(new Set(keys.map(toHex)).size).toBe(3)
    expect(await keyring.linkKey(org, '2026-11')).toEqual(keys[0])
  })

  it('wraps for the catalog, bound to the subject and the keyring', async () => {
    const keyring = await createFileKeyring(options, cheap)
    const secret = random.bytes(32)
    const wrapped = await keyring.wrapAtRest(org, secret)
    expect(await keyring.unwrapAtRest(org, wrapped)).toEqual(secret)
    expect(await (await openFileKeyring(options)).unwrapAtRest(org, wrapped)).toEqual(secret)
    const flipped = wrapped.slice()
    flipped[20]! ^= 1
    for (const [subject, bytes] of [
      ['cd'.repeat(16), wrapped],
      [org, flipped],
      [org, wrapped.subarray(0, 5)],
      [org, new Uint8Array(0)],
    ] as const) {
      await expect(keyring.unwrapAtRest(subject, bytes)).rejects.toThrow(code('E_KEYRING_KEY_UNKNOWN'))
    }
  })

  it('destroys spool keys that nobody needs, and no other', async () => {
    const keyring = await createFileKeyring(options, cheap)
    const first = await keyring.spoolPublicKey()
    const secret = random.bytes(32)
    const { id, wrapped } = wrap(first, secret)
    expect(id).toEqual(first.keyId)
    await keyring.rotateSpoolKeys([])
    expect((await keyring.spoolPublicKey()).keyId).toEqual(first.keyId)
    nowMs += SPOOL_KEY_MAX_AGE_MS - 1
    await keyring.rotateSpoolKeys([first.keyId])
    expect((await keyring.spoolPublicKey()).keyId).toEqual(first.keyId)
    nowMs += 1
    await keyring.rotateSpoolKeys([first.keyId])
    const second = await keyring.spoolPublicKey()
    expect(second.keyId).not.toEqual(first.keyId)
    expect(await keyring.openSpoolKey(first.keyId, wrapped)).toEqual(secret)
    nowMs += SPOOL_KEY_GRACE_MS - 1
    await keyring.rotateSpoolKeys([second.keyId])
    expect(await keyring.openSpoolKey(first.keyId, wrapped)).toEqual(secret)
    nowMs += 1
    await keyring.rotateSpoolKeys([first.keyId, second.keyId])
    expect(await keyring.openSpoolKey(first.keyId, wrapped)).toEqual(secret)
    await keyring.rotateSpoolKeys([second.keyId])
    await expect(keyring.openSpoolKey(first.keyId, wrapped)).rejects.toThrow(code('E_KEYRING_KEY_UNKNOWN'))
    await keyring.rotateSpoolKeys([])
    expect((await keyring.spoolPublicKey()).keyId).not.toEqual(second.keyId)
  })

  it('sees what another keyring on the same files changed, and loses nothing', async () => {
    const one = await createFileKeyring(options, cheap)
    const two = await openFileKeyring(options)
    const ids = Array.from({ length: 8 }, (_, i) => i.toString(16).padStart(32, '0'))
    await Promise.all(ids.map((id, i) => (i % 2 === 0 ? one : two).createOrganisation(id)))
    expect(one.organisations().sort()).toEqual(ids)
    expect(two.organisations().sort()).toEqual(ids)
    await expect(two.createOrganisation(ids[0]!)).rejects.toThrow(code('E_CONFLICT'))
    expect((await one.spoolPublicKey()).keyId).toEqual((await two.spoolPublicKey()).keyId)
  })

  it('is safe between processes, also when one is killed', { timeout: 60_000 }, async () => {
    const keyring = await createFileKeyring(options, cheap)
    const source = resolve(import.meta.dirname, '../../../src')
    const program = (start: number, kill: boolean) => `
      import { openFileKeyring } from '${source}/adapters/file-keyring/file-keyring.ts'
      import { nodePrimitives } from '${source}/adapters/node-primitives.ts'
      import { nodeClock, nodeRandom } from '${source}/adapters/node-system.ts'
      const keyring = await openFileKeyring({ folder: ${JSON.stringify(folder)}, passphrase: ${JSON.stringify(passphrase)},
        clock: nodeClock, random: nodeRandom(), primitives: nodePrimitives, record: async () => {} })
      for (let i = 0; i < 4; i++) await keyring.createOrganisation((${start} + i).toString(16).padStart(32, '0'))
      if (${kill}) { void keyring.createOrganisation('f'.repeat(32)); process.kill(process.pid, 'SIGKILL') }`
    const run = (start: number, kill: boolean) =>
      promisify(execFile)(process.execPath, [
        '--disable-warning=ExperimentalWarning',
        '--input-type=module',
        '-e',
        program(start, kill),
      ]).catch((error: unknown) => {
        if (!kill) throw error
      })
    await Promise.all([run(0, false), run(16, true), run(32, false)])
    const expected = [0, 16, 32].flatMap((start) => [0, 1, 2, 3].map((i) => (start + i).toString(16).padStart(32, '0')))
    expect(
      keyring
        .organisations()
        .filter((id) => id !== 'f'.repeat(32))
        .sort(),
    ).toEqual(expected.sort())
  })

  it('is locked after close', async () => {
    const keyring = await createFileKeyring(options, cheap)
    await keyring.createOrganisation(org)
    keyring.close()
    for (const call of [
      () => keyring.publicKeys(org),
      () => keyring.linkKey(org, 'x'),
      () => keyring.spoolPublicKey(),
      () => keyring.createOrganisation('cd'.repeat(16)),
    ]) {
      await expect(call()).rejects.toThrow(code('E_KEYRING_LOCKED'))
    }
  })
})
