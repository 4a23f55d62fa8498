import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  changePassphrase,
  createFileKeyring,
  openFileKeyring,
  type FileKeyringOptions,
} from '../../../src/adapters/file-keyring/file-keyring.ts'
import type { FileKeyring } from '../../../src/adapters/file-keyring/opened-keyring.ts'
import { derivedSpoolSealKey, keysSealKey, masterKeyOf } from '../../../src/adapters/file-keyring/master-key.ts'
import {
  fromBase64,
  openEnvelope,
  readEnvelope,
  replaceFile,
  sealEnvelope,
  toBase64,
} from '../../../src/adapters/file-keyring/sealed-file.ts'
import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { ascii } from '../../../src/crypto/bytes.ts'
import { hpkeSeal } from '../../../src/crypto/hpke.ts'
import type { WrappedKey } from '../../../src/ports/keyring.ts'
import { dyingAtWrite } from '../../support/dying-at-write.ts'
import { testKdfCost } from '../../support/test-vault.ts'

const root = mkdtempSync(join(tmpdir(), 'mosaik-passphrase-'))
afterAll(() => rmSync(root, { recursive: true }))
const random = nodeRandom()
const code = (expected: string) => expect.objectContaining({ code: expected }) as Error
const org = 'ab'.repeat(16)
const [oldPassphrase, newPassphrase] = ['correct horse battery', 'staple of another kind']

let folder: string
let options: FileKeyringOptions
const opened: FileKeyring[] = []

beforeEach(() => {
  folder = mkdtempSync(join(root, 'k-'))
  const ports = { clock: nodeClock, random, primitives, record: () => Promise.resolve() }
  options = { folder, passphrase: oldPassphrase, ...ports }
})
afterEach(() => {
  for (const keyring of opened.splice(0)) keyring.close()
})

async function open(passphrase: string): Promise<FileKeyring> {
  const keyring = await openFileKeyring({ ...options, passphrase })
  opened.push(keyring)
  return keyring
}

/** A keyring with an organisation and something wrapped to its spool key; closed. */
async function make(): Promise<{
  readonly keyId: Uint8Array
  readonly wrapped: WrappedKey
  readonly secret: Uint8Array
}> {
  const keyring = await createFileKeyring(options, testKdfCost)
  await keyring.createOrganisation(org)
  const { suite, keyId, publicKey } = await keyring.spoolPublicKey()
  const [info, aad, secret] = [ascii('mosaik/v1/spool'), ascii('header'), random.bytes(32)]
  const sealed = hpkeSeal(suite, primitives, publicKey, info, aad, secret, random.bytes(primitives.kem(1).randomBytes))
  keyring.close()
  return { keyId, secret, wrapped: { suite, info, aad, ...sealed } }
}

describe('change of the passphrase', () => {
  it('opens with the new one only, and loses nothing', async () => {
    const { keyId, wrapped, secret } = await make()
    const before = await open(oldPassphrase)
    const keys = await before.publicKeys(org)
    const recovery = await before.pendingRecoverySeed(org)
    before.close()
    const salt = readEnvelope(join(folder, 'keyring.json')).kdf!.salt
    await changePassphrase(options, newPassphrase)
    await expect(open(oldPassphrase)).rejects.toThrow(code('E_KEYRING_PASSPHRASE'))
    const after = await open(newPassphrase)
    expect(await after.publicKeys(org)).toEqual(keys)
    expect(await after.pendingRecoverySeed(org)).toEqual(recovery)
    expect(await after.openSpoolKey(keyId, wrapped)).toEqual(secret)
    expect(readEnvelope(join(folder, 'keyring.json')).kdf).toMatchObject(testKdfCost)
    expect(readEnvelope(join(folder, 'keyring.json')).kdf!.salt).not.toBe(salt)
    expect(statSync(join(folder, 'keyring.json')).mode & 0o777).toBe(0o600)
  })

  it('leaves the file of the spool to nobody who knows the old passphrase and an old copy', async () => {
    await make()
    const old = readEnvelope(join(folder, 'keyring.json'))
    const master = await masterKeyOf(oldPassphrase, old.kdf!)
    const secrets = openEnvelope(primitives, keysSealKey(primitives, master), old) as { spoolSealKey: string }
    await changePassphrase(options, newPassphrase)
    const spool = readEnvelope(join(folder, 'keyring-spool.json'))
    for (const key of [fromBase64(secrets.spoolSealKey), derivedSpoolSealKey(primitives, master)]) {
      expect(openEnvelope(primitives, key, spool)).toBeUndefined()
    }
  })

  it('takes a keyring of the release before, whose spool is sealed under the passphrase itself', async () => {
    const { keyId, wrapped, secret } = await make()
    const [keysPath, spoolPath] = [join(folder, 'keyring.json'), join(folder, 'keyring-spool.json')]
    const [keys, spool] = [readEnvelope(keysPath), readEnvelope(spoolPath)]
    const master = await masterKeyOf(oldPassphrase, keys.kdf!)
    const sealKey = keysSealKey(primitives, master)
    const { spoolSealKey, ...rest } = openEnvelope(primitives, sealKey, keys) as { spoolSealKey: string }
    const spoolKeys = openEnvelope(primitives, fromBase64(spoolSealKey), spool)
    replaceFile(keysPath, sealEnvelope(primitives, sealKey, random.bytes(12), keys, rest))
    const derived = derivedSpoolSealKey(primitives, master)
    replaceFile(spoolPath, sealEnvelope(primitives, derived, random.bytes(12), spool, spoolKeys))
    const before = await open(oldPassphrase)
    expect(await before.openSpoolKey(keyId, wrapped)).toEqual(secret)
    before.close()
    await changePassphrase(options, newPassphrase)
    expect(await (await open(newPassphrase)).openSpoolKey(keyId, wrapped)).toEqual(secret)
    expect(openEnvelope(primitives, derived, readEnvelope(spoolPath))).toBeUndefined()
  })

  it('is refused while a process has the keyring open, and changes nothing', async () => {
    await make()
    const [one, two] = [await open(oldPassphrase), await open(oldPassphrase)]
    const before = readFileSync(join(folder, 'keyring.json'))
    await expect(changePassphrase(options, newPassphrase)).rejects.toThrow(code('E_CONFLICT'))
    one.close()
    await expect(changePassphrase(options, newPassphrase)).rejects.toThrow(code('E_CONFLICT'))
    expect(readFileSync(join(folder, 'keyring.json'))).toEqual(before)
    two.close()
    await changePassphrase(options, newPassphrase)
  })

  it('keeps others out while it goes on', async () => {
    await make()
    const changing = changePassphrase(options, newPassphrase)
    await expect(open(oldPassphrase)).rejects.toThrow(code('E_CONFLICT'))
    await changing
  })

  it('refuses a wrong old one, a short new one, and the same again', async () => {
    await make()
    const before = readFileSync(join(folder, 'keyring.json'))
    const wrong = { ...options, passphrase: 'correct horse batterz' }
    await expect(changePassphrase(wrong, newPassphrase)).rejects.toThrow(code('E_KEYRING_PASSPHRASE'))
    await expect(changePassphrase(options, 'short')).rejects.toThrow(code('E_INPUT'))
    await expect(changePassphrase(options, oldPassphrase)).rejects.toThrow(code('E_INPUT'))
    expect(readFileSync(join(folder, 'keyring.json'))).toEqual(before)
    await open(oldPassphrase)
  })

  it('leaves one passphrase in force and all keys whole, wherever it is cut off', async () => {
    let cuts = 0
    for (let at = 0; ; at++) {
      folder = mkdtempSync(join(root, 'cut-'))
      options = { ...options, folder, passphrase: oldPassphrase }
      const { keyId, wrapped, secret } = await make()
      const isCut = await dyingAtWrite(at, () => changePassphrase(options, newPassphrase))
      if (!isCut) break
      cuts++
      const opens = await Promise.all([oldPassphrase, newPassphrase].map((one) => open(one).catch(() => undefined)))
      expect(opens.filter((one) => one !== undefined)).toHaveLength(1)
      const keyring = opens.find((one) => one !== undefined)!
      expect(await keyring.openSpoolKey(keyId, wrapped)).toEqual(secret)
      expect(keyring.organisations()).toEqual([org])
      keyring.close()
      // The second run goes through, or finds that the first one had done it.
      if (opens[0]) await changePassphrase(options, newPassphrase)
      expect(await (await open(newPassphrase)).openSpoolKey(keyId, wrapped)).toEqual(secret)
      await expect(open(oldPassphrase)).rejects.toThrow(code('E_KEYRING_PASSPHRASE'))
      for (const keyringOfCut of opened.splice(0)) keyringOfCut.close()
    }
    // Two files and the first one twice, each written, synced, renamed, its folder synced, the old blocks wiped.
    expect(cuts).toBeGreaterThanOrEqual(15)
  })

  it('never shows a half-written file to a reader', async () => {
    await make()
    const text = readFileSync(join(folder, 'keyring.json'), 'utf8')
    writeFileSync(join(folder, 'keyring.json.new'), text.slice(0, 100), { mode: 0o600 })
    await changePassphrase(options, newPassphrase)
    await open(newPassphrase)
    expect(toBase64(fromBase64(readEnvelope(join(folder, 'keyring.json')).sealed)).length).toBeGreaterThan(100)
  })
})
