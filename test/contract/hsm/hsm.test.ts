import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  changePassphrase,
  createFileKeyring,
  keyringLock,
  openFileKeyring,
  relockKeyring,
} from '../../../src/adapters/file-keyring/file-keyring.ts'
import { newHsmLock, withHsm } from '../../../src/adapters/file-keyring/hsm-lock.ts'
import type { KeyringOpening } from '../../../src/adapters/file-keyring/unlock.ts'
import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { hsmByTool, type Hsm, type HsmSettings } from '../../../src/adapters/pkcs11-tool.ts'
import { mosaik } from '../../integration/processes/fleet.ts'
import { findProgram } from '../../support/services/commands.ts'
import { testKdfCost } from '../../support/test-vault.ts'

// A real PKCS#11 module: SoftHSM, with OpenSC's tool.

const modules = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
]
const module = modules.find((path) => existsSync(path))
const missing = [
  ...(module === undefined ? ['libsofthsm2.so (package softhsm2)'] : []),
  ...(['pkcs11-tool', 'softhsm2-util'] as const).filter((name) => findProgram(name) === undefined),
]
const root = mkdtempSync(join(tmpdir(), 'mosaik-hsm-'))
const random = nodeRandom()
const PIN = '4321-right'
const org = 'ab'.repeat(16)
const passphrase = 'correct horse battery'
const code = (expected: string) => expect.objectContaining({ code: expected }) as Error
const environment = { PATH: process.env['PATH'], SOFTHSM2_CONF: join(root, 'softhsm2.conf') }
const settings = (change: Partial<HsmSettings> = {}): HsmSettings => ({
  ...{ module: module!, token: 'vault', key: 'mosaik', pin: PIN, environment },
  ...change,
})
const hsm = (change: Partial<HsmSettings> = {}): Hsm => hsmByTool(settings(change))

function inToken(...args: string[]): void {
  const login = ['--module', module!, '--token-label', 'vault', '--login', '--pin', PIN]
  execFileSync('pkcs11-tool', [...login, ...args], { env: environment, stdio: 'ignore' })
}

const makeKey = (label: string, id: string): void =>
  inToken('--keygen', '--key-type', 'GENERIC:32', '--label', label, '--id', id, '--sensitive', '--usage-sign')

describe('a key in an HSM', () => {
  beforeAll(() => {
    if (missing.length > 0) {
      if (process.env['CI']) throw new Error(`in CI an HSM may not be skipped: ${missing.join(', ')}`)
      return
    }
    mkdirSync(join(root, 'tokens'))
    writeFileSync(environment.SOFTHSM2_CONF, `directories.tokendir = ${join(root, 'tokens')}\nlog.level = ERROR\n`)
    const init = ['--init-token', '--free', '--label', 'vault', '--so-pin', '12345678', '--pin', PIN]
    execFileSync('softhsm2-util', init, { env: environment, stdio: 'ignore' })
    makeKey('mosaik', '0a')
    makeKey('another', '0b')
    makeKey('twice', '0c')
    makeKey('twice', '0d')
  })
  beforeEach((context) => context.skip(missing.length > 0, `not here: ${missing.join(', ')}`))
  afterAll(() => rmSync(root, { recursive: true, force: true }))

  it('answers the same for the same, and otherwise for another message or key', async () => {
    const message = random.bytes(53)
    const answer = await hsm().hmac(message)
    expect(answer).toHaveLength(32)
    expect(await hsm().hmac(message)).toEqual(answer)
    expect(await hsm().hmac(random.bytes(53))).not.toEqual(answer)
    // The tool of Debian 12 ignores labels when it signs: the right key is found all the same.
    expect(await hsm({ key: 'another' }).hmac(message)).not.toEqual(answer)
    for (const bytes of [new Uint8Array(0), new Uint8Array(53).fill(0x0a)]) {
      expect(await hsm().hmac(bytes)).toHaveLength(32)
    }
  })

  it.each([
    ['a module that is not there', { module: '/nowhere/lib.so' }, 'E_HSM_MODULE', /set hsmModule/],
    ['a module that is none', { module: new URL(import.meta.url).pathname }, 'E_HSM_MODULE', /cannot|can be loaded/],
    ['a token that is not there', { token: 'volt' }, 'E_HSM_TOKEN', /no token with the label "volt"/],
    ['a wrong PIN', { pin: '4321-wrong' }, 'E_HSM_PIN', /after a few wrong ones the token locks/],
    ['an empty PIN', { pin: '' }, 'E_HSM_PIN', /is empty/],
    ['a key that is not there', { key: 'mosaic' }, 'E_HSM_KEY', /no secret key with the label "mosaic"/],
    ['two keys of one label', { key: 'twice' }, 'E_HSM_KEY', /2 secret keys/],
  ] as const)('says what is wrong: %s', async (_, change, expected, words) => {
    const failed = hsm(change).hmac(new Uint8Array(8))
    await expect(failed).rejects.toThrow(code(expected))
    await expect(failed).rejects.toThrow(words)
    await expect(failed).rejects.not.toThrow(/4321/)
  })

  it('does not use the last try of a PIN up, nor ask one twice, nor put it on a command line', async () => {
    const folder = join(root, 'fake')
    mkdirSync(folder)
    const asked = join(folder, 'asked')
    const tool = (flags: string, then: string): HsmSettings => {
      rmSync(asked, { force: true })
      const slot = `Slot 0 (0x1): a card\n  token label        : vault\n  token flags        : login required, ${flags}\n`
      const script = `#!/bin/sh\necho "$@" >> '${asked}'\ncase "$*" in *--list-slots*) printf '${slot}' ;; *) ${then} ;; esac\n`
      writeFileSync(join(folder, 'pkcs11-tool'), script)
      chmodSync(join(folder, 'pkcs11-tool'), 0o755)
      return settings({ environment: { PATH: `${folder}:/usr/bin:/bin` } })
    }
    const lastTry = hsmByTool(tool('final user PIN try', 'exit 7')).hmac(new Uint8Array(8))
    await expect(lastTry).rejects.toThrow(/one more try/)
    expect(readFileSync(asked, 'utf8')).not.toContain('--login')
    await expect(hsmByTool(tool('user PIN locked', 'exit 7')).hmac(new Uint8Array(8))).rejects.toThrow(/is locked/)
    const refused = hsmByTool(tool('rng', 'echo "C_Login failed: rv = CKR_PIN_INCORRECT (0xa0)" >&2; exit 1'))
    await expect(refused.hmac(new Uint8Array(8))).rejects.toThrow(code('E_HSM_PIN'))
    expect(readFileSync(asked, 'utf8').split('--login')).toHaveLength(2)
    expect(readFileSync(asked, 'utf8')).not.toContain(PIN)
    const gone = hsmByTool(tool('rng', 'echo "C_Login failed: rv = CKR_DEVICE_REMOVED (0x32)" >&2; exit 1'))
    await expect(gone.hmac(new Uint8Array(8))).rejects.toThrow(/CKR_DEVICE_REMOVED/)
    rmSync(join(folder, 'pkcs11-tool'))
    const none = hsmByTool(settings({ environment: { PATH: folder } }))
    await expect(none.hmac(new Uint8Array(8))).rejects.toThrow(code('E_SETUP'))
  })

  describe('locks a keyring', () => {
    let folder: string
    const ports = () => ({ folder, clock: nodeClock, random, primitives })
    const open = async (opening: KeyringOpening) =>
      await openFileKeyring({ ...ports(), ...opening, record: () => Promise.resolve() })
    const opens = (change: Partial<HsmSettings> = {}): KeyringOpening => ({ unlock: withHsm(hsm(change), primitives) })
    beforeEach(async () => {
      folder = mkdtempSync(join(root, 'k-'))
      const keyring = await createFileKeyring({ ...ports(), passphrase, record: () => Promise.resolve() }, testKdfCost)
      await keyring.createOrganisation(org)
      keyring.close()
    })

    it('which opens with that key alone, and goes back to a passphrase', async () => {
      const before = await open({ passphrase })
      const keys = await before.publicKeys(org)
      before.close()
      await relockKeyring({ ...ports(), passphrase }, () => newHsmLock(hsm(), ports()))
      expect(keyringLock(folder)).toMatchObject({ kdf: null, hsm: { algorithm: 'hmac-sha256' } })
      await expect(open({ passphrase })).rejects.toThrow(code('E_KEYRING_LOCK'))
      await expect(open(opens({ key: 'another' }))).rejects.toThrow(code('E_HSM_ANSWER'))
      await expect(open(opens({ pin: 'wrong' }))).rejects.toThrow(code('E_HSM_PIN'))
      const keyring = await open(opens())
      expect(await keyring.publicKeys(org)).toEqual(keys)
      keyring.close()
      await changePassphrase({ ...ports(), ...opens() }, 'a passphrase again', testKdfCost)
      await expect(open(opens())).rejects.toThrow(code('E_KEYRING_LOCK'))
      const back = await open({ passphrase: 'a passphrase again' })
      expect(await back.publicKeys(org)).toEqual(keys)
      back.close()
    })

    it('with a salt of its own each time, bound to what it seals', async () => {
      await relockKeyring({ ...ports(), passphrase }, () => newHsmLock(hsm(), ports()))
      const first = keyringLock(folder).hsm!
      await relockKeyring({ ...ports(), ...opens() }, () => newHsmLock(hsm(), ports()))
      const path = join(folder, 'keyring.json')
      const json = JSON.parse(readFileSync(path, 'utf8')) as { hsm: object }
      expect(keyringLock(folder).hsm!.salt).not.toBe(first.salt)
      writeFileSync(path, JSON.stringify({ ...json, hsm: first }))
      await expect(open(opens())).rejects.toThrow(/the file was changed/)
      writeFileSync(path, JSON.stringify({ ...json, hsm: { ...json.hsm, check: first.check } }))
      await expect(open(opens())).rejects.toThrow(code('E_HSM_ANSWER'))
    })

    it('from the command line, with the PIN from the environment or a file', async () => {
      const pinFile = join(folder, 'pin')
      writeFileSync(pinFile, `${PIN}\n`, { mode: 0o600 })
      const vault = {
        ...environment,
        MOSAIK_DATA: folder,
        MOSAIK_HSM_MODULE: module!,
        MOSAIK_HSM_TOKEN: 'vault',
      }
      const given = { ...vault, MOSAIK_PASSPHRASE: passphrase }
      await expect(mosaik(given, 'keys', 'hsm')).rejects.toThrow(/E_HSM_PIN/)
      await expect(mosaik({ ...given, MOSAIK_HSM_PIN: 'wrong' }, 'keys', 'hsm')).rejects.toThrow(/E_HSM_PIN/)
      expect(keyringLock(folder).kdf).not.toBeNull()
      expect(await mosaik({ ...given, MOSAIK_HSM_PIN: PIN }, 'keys', 'hsm')).toEqual({ token: 'vault', key: 'mosaik' })
      expect(await mosaik({ ...vault, MOSAIK_HSM_PIN_FILE: pinFile }, 'rotate-keys', '--status')).toEqual([])
      const fresh = join(folder, 'fresh')
      writeFileSync(fresh, 'a passphrase again\n')
      const back = { ...vault, MOSAIK_HSM_PIN: PIN, MOSAIK_NEW_PASSPHRASE_FILE: fresh }
      expect(await mosaik(back, 'keys', 'passphrase')).toMatchObject({ changed: true })
      expect(keyringLock(folder).hsm).toBeUndefined()
    })
  })
})
