import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { ShareCollector } from '../../../src/adapters/file-keyring/custody.ts'
import { createFileKeyring, keyringLock, openFileKeyring } from '../../../src/adapters/file-keyring/file-keyring.ts'
import { withMasterKey } from '../../../src/adapters/file-keyring/unlock.ts'
import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { Terminal, hasScript, noPseudoTerminal, wordsOn } from '../../support/terminal.ts'
import { testKdfCost } from '../../support/test-vault.ts'

// The officers' side on a terminal: shares are shown there and nowhere else, and typed there unseen.

const root = mkdtempSync(join(tmpdir(), 'mosaik-officers-'))
const organisation = 'ab'.repeat(16)
const passphrase = 'correct horse battery'
const ports = { clock: nodeClock, random: nodeRandom(), primitives, record: () => Promise.resolve() }

let terminal: Terminal | undefined
afterEach(() => terminal?.end())
afterAll(() => rmSync(root, { recursive: true }))

function on(data: string, given: string | undefined, ...args: string[]): Terminal {
  terminal = new Terminal(data, given, '--data', data, ...args)
  return terminal
}

async function newKeyring(): Promise<string> {
  const data = mkdtempSync(join(root, 'd-'))
  const keyring = await createFileKeyring({ ...ports, folder: data, passphrase }, testKdfCost)
  await keyring.createOrganisation(organisation)
  keyring.close()
  return data
}

/** Three pages, each with its officer; then what is asked at the end. */
async function shownShares(screen: Terminal): Promise<string[]> {
  const shares: string[] = []
  for (const officer of [1, 2, 3]) {
    await screen.sees(`only officer ${officer} sees the screen.`)
    screen.enter()
    const page = await screen.sees('Press Enter when you have them.')
    expect(page).toMatch(new RegExp(`Share ${officer} of 3 of the keyring; 2 are needed`))
    expect(page).toMatch(/Vault [0-9a-f]{16}/)
    shares.push(wordsOn(page))
    screen.enter()
  }
  await screen.sees('Number of the share to check')
  return shares
}

const custody = ['keys', 'custody', '--officers', '3', '--threshold', '2']

describe('mosaik keys on a terminal', () => {
  it('custody shows a share a page, nothing of it elsewhere; `keys passphrase` takes shares, and goes back', async (context) => {
    context.skip(!hasScript, noPseudoTerminal)
    const data = await newKeyring()
    const screen = on(data, passphrase, ...custody)
    const shares = await shownShares(screen)
    // Until here nothing has changed.
    expect(keyringLock(data).kdf).not.toBeNull()
    screen.enter('confirm')
    expect((await screen.ended()).code).toBe(0)
    expect(screen.output()).toMatch(/opens with 2 of 3 shares/)
    for (const words of shares) expect(screen.output()).not.toContain(words.split(' ').slice(0, 3).join(' '))
    const lock = keyringLock(data)
    const collector = new ShareCollector(lock.custody!, { primitives, clock: nodeClock })
    collector.give(shares[2]!)
    const keyring = await openFileKeyring({
      ...ports,
      folder: data,
      unlock: withMasterKey(collector.give(shares[0]!)!),
    })
    expect(keyring.organisations()).toEqual([organisation])
    keyring.close()

    const fresh = join(data, 'fresh')
    writeFileSync(fresh, 'a passphrase again\n')
    const back = on(data, undefined, 'keys', 'passphrase')
    await back.sees('Share 1 of 2 that are needed:')
    back.enter(shares[1])
    await back.sees('Share 2 of 2 that are needed:')
    back.enter(shares[1])
    await back.sees('was given already')
    await back.sees('Share 2 of 2 that are needed:')
    back.enter(shares[0])
    await back.sees('New passphrase of the keyring:')
    back.enter('a passphrase again')
    await back.sees('Once more:')
    back.enter('a passphrase again')
    expect((await back.ended()).code).toBe(0)
    const again = await openFileKeyring({ ...ports, folder: data, passphrase: 'a passphrase again' })
    expect(again.organisations()).toEqual([organisation])
    again.close()
  })

  it('custody that is ended before the shares were checked changes nothing', async (context) => {
    context.skip(!hasScript, noPseudoTerminal)
    const data = await newKeyring()
    const before = readFileSync(join(data, 'keyring.json'))
    const screen = on(data, passphrase, ...custody)
    await shownShares(screen)
    screen.type('\u0003')
    expect((await screen.ended()).code).not.toBe(0)
    expect(screen.output()).toMatch(/Nothing was changed.*E_ABORTED/)
    expect(readFileSync(join(data, 'keyring.json'))).toEqual(before)
  })

  it('what was typed is not on the screen', async (context) => {
    context.skip(!hasScript, noPseudoTerminal)
    const data = await newKeyring()
    const screen = on(data, passphrase, ...custody)
    const shares = await shownShares(screen)
    screen.enter('confirm')
    await screen.ended()
    const asked = on(data, undefined, 'rotate-keys', '--status')
    for (const [i, words] of shares.slice(0, 2).entries()) {
      await asked.sees(`Share ${i + 1} of 2 that are needed:`)
      asked.enter(words)
    }
    await asked.ended()
    expect(asked.shown()).toMatch(/opens with 2 of its 3 officers' shares/)
    for (const words of shares) expect(asked.shown()).not.toContain(words.split(' ')[4]!)
  })
})
