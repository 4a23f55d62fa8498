import { randomBytes } from 'node:crypto'
import { copyFileSync, cpSync, existsSync, readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, it } from 'vitest'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import {
  catalogStanding,
  LOOK_AGAIN_MS,
  LOOK_EVERY_MS,
  watchStanding,
  type Standing,
} from '../../../src/main/catalog-standing.ts'
import { readConfig } from '../../../src/main/config.ts'
import { openVault, type Vault } from '../../../src/main/vault.ts'
import { commitState } from '../../../src/pipeline/commit-state.ts'
import type { Clock, Log } from '../../../src/ports/system.ts'
import { HeldClock, settled } from '../../support/held-clock.ts'
import { failAll } from '../../support/memory-store.ts'
import { makeFolders, oldPassphrase, storeInto, writeState } from '../../support/rebuild-stage.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'
import { makeStage, never, type Stage } from '../../support/upkeep-stage.ts'

describe('what the nodes say of the catalog', () => {
  let stage: Stage
  afterEach(async () => {
    await stage.close()
  })
  const writeOne = (): Promise<unknown> =>
    commitState({ ...stage, location: () => 'memory' }, stage.organisation, never)
  /** The catalog as it was before the last state. */
  const older = () => {
    const { installation } = stage.catalog
    const back = <T extends { stateGeneration: number } | undefined>(row: T): T =>
      row && { ...row, stateGeneration: row.stateGeneration - 1 }
    return {
      ...stage,
      catalog: {
        installation: {
          ...installation,
          organisations: async () => (await installation.organisations()).map(back),
          organisation: async (id: string) => back(await installation.organisation(id)),
        },
      },
    }
  }
  const silence = (count: number): void => {
    for (const [i, store] of stage.stores.entries()) store.fault = i < count ? failAll() : undefined
  }

  it('is level, behind, or unknown when a newer state may lie on the silent ones alone', async () => {
    stage = await makeStage()
    await writeOne()
    await writeOne()
    expect(await catalogStanding(stage)).toBe('level')
    for (const silent of [0, 3]) {
      silence(silent)
      expect(await catalogStanding(stage)).toBe('level')
      expect(await catalogStanding(older())).toBe('behind')
    }
    // Four of five: a state is verified on four at least.
    for (const silent of [4, 5]) {
      silence(silent)
      expect(await catalogStanding(stage)).toBe('unknown')
    }
    expect(await catalogStanding(older())).toBe('unknown')
  })

  it('is asked every 15 s until it is known, and every 10 minutes then', async () => {
    stage = await makeStage()
    await writeOne()
    await writeOne()
    const clock = new HeldClock()
    const turns: Standing[] = []
    silence(5)
    let isRestored = false
    const ports = () => (isRestored ? older() : stage)
    const watching = watchStanding(
      {
        ...stage,
        clock,
        get catalog() {
          return ports().catalog
        },
      },
      'unknown',
      (standing) => Promise.resolve(void turns.push(standing)),
    )
    const pass = async (ms: number): Promise<void> => {
      await settled()
      await clock.advance(ms, ms)
      await new Promise((resolve) => setTimeout(resolve, 50))
      await settled()
    }
    try {
      await pass(LOOK_AGAIN_MS)
      expect(turns).toEqual([])
      silence(0)
      await pass(LOOK_AGAIN_MS)
      await expect.poll(() => turns).toEqual(['level'])
      // A backup of the catalog is put back under the vault that runs.
      isRestored = true
      await pass(LOOK_EVERY_MS)
      await expect.poll(() => turns).toEqual(['level', 'behind'])
      await settled()
      expect(clock.sleepersCount).toBe(0)
    } finally {
      await watching.close()
    }
  })
})

describe('a vault that starts on an old catalog while its nodes are away', { timeout: 180_000 }, () => {
  const folders = makeFolders()
  let first: TestVault | undefined
  let vault: Vault | undefined
  afterEach(async () => {
    await vault?.close()
    await first?.close()
    vault = first = undefined
    folders.remove()
  })

  /** Looks that are 15 s apart come after a moment. */
  const clock: Clock = {
    ...nodeClock,
    nowMs: () => nodeClock.nowMs(),
    monotonicMs: () => nodeClock.monotonicMs(),
    sleep: (delayMs, signal) => nodeClock.sleep(delayMs === LOOK_AGAIN_MS ? 100 : delayMs, signal),
  }
  const open = async (data: string, events: string[]): Promise<Vault> => {
    const note = (event: string): void => void events.push(event)
    const log: Log = { info: note, warn: note, error: note }
    return await openVault({
      ...{ config: readConfig({}, { MOSAIK_DATA: data }), opening: { passphrase: oldPassphrase } },
      ...{ clock, random: nodeRandom(), log, childEnvironment: process.env },
    })
  }
  const deposit = async (into: Vault) =>
    await into.intake.deposit(first!.organisation, {
      info: {
        ...{ title: 'later', source: { kind: 'test', externalId: 'later' }, participants: [], startedAtMs: null },
        host: { id: 'host', name: 'Ada', email: null },
      },
      original: { kind: 'file', path: '/nowhere', sizeBytes: 1, modifiedAtMs: 1, deleteAfterReceipt: false },
      captions: [],
    })
  const away = (isAway: boolean): void => {
    for (const folder of first!.nodeFolders) {
      const hidden = `${folder}-away`
      if (existsSync(isAway ? folder : hidden)) renameSync(isAway ? folder : hidden, isAway ? hidden : folder)
    }
  }
  const stateOf = async (of: Vault): Promise<number> =>
    (await of.catalog.installation.organisation(first!.organisation))!.stateGeneration

  async function backUp(): Promise<string> {
    first = await makeTestVault({ threads: 0 })
    await storeInto(first, randomBytes(1000), 'first')
    await writeState(first)
    const data = folders.make()
    for (const name of readdirSync(first.folder).filter((one) => one.startsWith('keyring'))) {
      cpSync(join(first.folder, name), join(data, name))
    }
    const database = new DatabaseSync(join(first.folder, 'catalog.sqlite'))
    database.exec(`vacuum into '${join(data, 'catalog.sqlite')}'`)
    database.close()
    return data
  }

  it('writes and collects nothing until enough of them answer, and then only plays', async () => {
    const data = await backUp()
    await storeInto(first!, randomBytes(1000), 'second')
    await writeState(first!)
    copyFileSync(join(data, 'catalog.sqlite'), join(data, 'before.sqlite'))
    away(true)
    const events: string[] = []
    vault = await open(data, events)
    expect(events).toContain('catalog.standing-unknown')
    expect(vault.isReadOnly).toBe(false)
    const knows = await stateOf(vault)
    vault.upkeep.stateChanged()
    away(false)
    await vault.becameReadOnly
    expect(events).toContain('catalog.behind-nodes')
    expect(vault.isReadOnly).toBe(true)
    await expect(deposit(vault)).rejects.toMatchObject({ code: 'E_READ_ONLY' })
    // No state of a number that the nodes bear already was begun, and no row was given up or deleted.
    expect(await stateOf(vault)).toBe(knows)
    const rows = (path: string): unknown[] => {
      const database = new DatabaseSync(path, { readOnly: true })
      try {
        return database.prepare('select node, key, state from objects order by node, key').all()
      } finally {
        database.close()
      }
    }
    expect(rows(join(data, 'catalog.sqlite'))).toEqual(rows(join(data, 'before.sqlite')))
  })

  it('goes to work when they say that the catalog is the newest', async () => {
    const data = await backUp()
    away(true)
    const events: string[] = []
    vault = await open(data, events)
    expect(events).toContain('catalog.standing-unknown')
    const knows = await stateOf(vault)
    away(false)
    vault.upkeep.stateChanged()
    for (const opened = vault; (await stateOf(opened)) === knows; await nodeClock.sleep(50)) {
      opened.upkeep.stateChanged()
    }
    expect(vault.isReadOnly).toBe(false)
    expect((await deposit(vault)).recording).toMatch(/^[0-9a-f]{32}$/)
  })
})
