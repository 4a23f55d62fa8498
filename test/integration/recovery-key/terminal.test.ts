import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { createFileKeyring, openFileKeyring } from '../../../src/adapters/file-keyring/file-keyring.ts'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { combineMnemonics, splitToMnemonics } from '../../../src/crypto/slip39/slip39.ts'
import { numberOfWord, WORDS } from '../../../src/crypto/slip39/words.ts'
import { encodeRecoveryKey } from '../../../src/format/recovery-key.ts'
import { compiled } from '../../support/compiled.ts'
import { Terminal, hasScript, noPseudoTerminal, wordsOn } from '../../support/terminal.ts'

const cli = new URL('../../../src/main/cli.ts', import.meta.url).pathname
const root = mkdtempSync(join(tmpdir(), 'mosaik-shares-'))
const random = nodeRandom()
const draw = (lengthBytes: number) => random.bytes(lengthBytes)
const organisation = 'ab'.repeat(16)
const passphrase = 'correct horse battery'

let terminal: Terminal | undefined
afterEach(() => terminal?.end())
afterAll(() => rmSync(root, { recursive: true }))

function on(cwd: string, ...args: string[]): Terminal {
  terminal = new Terminal(cwd, passphrase, ...args)
  return terminal
}

const newFolder = () => mkdtempSync(join(root, 'd-'))

function keyringOptions(folder: string) {
  const record = () => Promise.reject(new Error('nothing is unwrapped'))
  return { folder, passphrase, clock: nodeClock, random, primitives: nodePrimitives, record }
}

async function newVault(): Promise<{ data: string; seed: Uint8Array }> {
  const data = newFolder()
  const keyring = await createFileKeyring(keyringOptions(data), { memoryKiB: 64, passes: 1, parallelism: 1 })
  await keyring.createOrganisation(organisation)
  return { data, seed: (await keyring.pendingRecoverySeed(organisation))! }
}

async function pendingSeed(data: string): Promise<Uint8Array | undefined> {
  return await (await openFileKeyring(keyringOptions(data))).pendingRecoverySeed(organisation)
}

const wrongWord = (words: string): string => {
  const list = words.split(' ')
  return list.with(8, WORDS[(numberOfWord(list[8]!)! + 1) % 1024]!).join(' ')
}

const recoveryKey = (data: string, ...args: string[]) => on(data, '--data', data, 'recovery-key', ...args)

/** Through the pages to the last: the shares as the holders saw them. */
async function readShares(screen: Terminal, n: number): Promise<string[]> {
  const shares: string[] = []
  for (let i = 1; i <= n; i++) {
    const between = await screen.sees(`holder of share ${i} sees the screen.`)
    expect(wordsOn(between)).toBe('')
    screen.enter()
    const page = await screen.sees('Press Enter when you have them.')
    expect(page).toContain(`Share ${i} of ${n}`)
    shares.push(wordsOn(page))
    screen.enter()
  }
  return shares
}

describe('mosaik recovery-key --shares', { timeout: 120_000 }, () => {
  it('shows a share a page, has one typed back, destroys the copy; nothing on standard output', async (context) => {
    context.skip(!hasScript, noPseudoTerminal)
    const { data, seed } = await newVault()
    const screen = recoveryKey(data, '--shares', '2-of-3')
    const shares = await readShares(screen, 3)
    expect(combineMnemonics([shares[2]!, shares[0]!])).toEqual(seed)
    expect(await screen.sees('"confirm" to do without:')).toContain('All shares were shown')
    screen.enter('2')
    await screen.sees('from word 1:')
    screen.enter(wrongWord(shares[1]!))
    expect(await screen.sees('"confirm" to do without:')).toContain('Share 2 is not written down right')
    screen.enter('2')
    await screen.sees('from word 1:')
    screen.enter(shares[0])
    expect(await screen.sees('"confirm" to do without:')).toContain('the words of another share')
    expect(await pendingSeed(data)).toEqual(seed)
    screen.enter('2')
    await screen.sees('from word 1:')
    const words = shares[1]!.split(' ')
    screen.enter(`${words.slice(0, 20).join(' ')} xylophone`)
    await screen.sees('Word 21 is not in the word list')
    screen.enter(words.slice(0, 20).join(' '))
    await screen.sees('from word 21:')
    screen.enter(words.slice(20).join(' '))
    expect(await screen.ended()).toEqual({ code: 0, isCleared: true })
    expect(screen.output()).toBe('  3 shares were shown, 2 give the recovery key back. The vault no longer has it.\n')
    expect(await pendingSeed(data)).toBeUndefined()
  })

  it('takes the word of the holders', async (context) => {
    context.skip(!hasScript, noPseudoTerminal)
    const { data } = await newVault()
    const screen = recoveryKey(data, '--shares', '2-of-2')
    await readShares(screen, 2)
    await screen.sees('to do without:')
    screen.enter('7')
    await screen.sees('There are shares 1 to 2.')
    screen.enter('confirm')
    expect(await screen.ended()).toEqual({ code: 0, isCleared: true })
    expect(await pendingSeed(data)).toBeUndefined()
  })

  it('keeps the copy when it is ended before, and clears the page', async (context) => {
    context.skip(!hasScript, noPseudoTerminal)
    const { data, seed } = await newVault()
    for (const key of ['\u0003', '\u0004']) {
      const screen = recoveryKey(data, '--shares', '2-of-3')
      await screen.sees('holder of share 1 sees the screen.')
      screen.enter()
      await screen.sees('Press Enter when you have them.')
      screen.type(key)
      expect(await screen.ended()).toEqual({ code: 4, isCleared: true })
      expect(screen.output()).toContain('E_ABORTED')
      expect(await pendingSeed(data)).toEqual(seed)
    }
  })

  it('without --shares shows the one text, which `later` keeps and Enter destroys', async (context) => {
    context.skip(!hasScript, noPseudoTerminal)
    const { data, seed } = await newVault()
    let screen = recoveryKey(data)
    await screen.sees(encodeRecoveryKey(seed, nodePrimitives.sha256))
    await screen.sees('3-of-5`. ')
    screen.enter('later')
    expect((await screen.ended()).code).toBe(0)
    expect(await pendingSeed(data)).toEqual(seed)
    screen = recoveryKey(data)
    await screen.sees('3-of-5`. ')
    screen.enter()
    expect((await screen.ended()).code).toBe(0)
    expect(await pendingSeed(data)).toBeUndefined()
    expect(screen.output()).toBe('')
  })
})

describe('mosaik recovery-key --combine', { timeout: 120_000 }, () => {
  it('asks until the shares suffice, names what is wrong, shows the key on the terminal only, without a vault', async (context) => {
    context.skip(!hasScript, noPseudoTerminal)
    const folder = newFolder()
    const seed = random.bytes(32)
    const [first, second, third] = splitToMnemonics(3, 5, seed, draw)
    const foreign = splitToMnemonics(3, 5, seed, draw)[4]!
    const short = splitToMnemonics(2, 2, random.bytes(16), draw)[0]!
    const screen = on(folder, 'recovery-key', '--combine')
    await screen.sees('Words:')
    screen.enter(`${short}\r`)
    await screen.sees('share 1 cannot be used: it is of a shorter or longer secret')
    screen.enter(third!.split(' ').join('\r'))
    await screen.sees('Share 1 is good; not enough yet: 1 of 3 shares.')
    screen.enter(wrongWord(first!))
    await screen.sees('share 2 cannot be used: a word is wrong')
    screen.enter(third)
    await screen.sees('share 2 cannot be used: it has the same number as share 1')
    screen.enter(foreign)
    await screen.sees('share 2 cannot be used: it is of another set than share 1')
    screen.enter(first)
    await screen.sees('2 of 3 shares')
    screen.enter(second)
    await screen.sees(encodeRecoveryKey(seed, nodePrimitives.sha256))
    screen.enter()
    expect(await screen.ended()).toEqual({ code: 0, isCleared: true })
    expect(screen.output()).toBe('')
  })

  it('refuses where there is no terminal, and a sharing that cannot be', async () => {
    const run = (...args: string[]) =>
      new Promise<string>((resolve) => {
        // a session of its own has no terminal
        const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', cli, ...args], {
          detached: true,
          stdio: ['ignore', 'ignore', 'pipe'],
          env: { ...compiled, PATH: process.env['PATH'], MOSAIK_PASSPHRASE: passphrase },
        })
        let said = ''
        child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
        child.on('close', (code) => resolve(`${code} ${said}`))
      })
    const { data, seed } = await newVault()
    expect(await run('recovery-key', '--combine')).toMatch(/^2 .*no.*E_INPUT/)
    expect(await run('--data', data, 'recovery-key', '--shares', '2-of-3')).toMatch(/^2 .*terminal.*E_INPUT/)
    expect(await run('--data', data, 'recovery-key')).toMatch(/^2 .*recovery key is shown on a terminal.*E_INPUT/)
    expect(await run('--data', data, 'recovery-key', '--shares', '1-of-3')).toMatch(/^2 .*E_INPUT/)
    expect(await run('recovery-key', '--combine', '--shares', '2-of-3')).toMatch(/^2 /)
    expect(await pendingSeed(data)).toEqual(seed)
  })
})
