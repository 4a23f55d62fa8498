import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { MemoryRateCounter } from '../../../src/adapters/memory-rate-counter.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { createCodecTools } from '../../../src/adapters/segment-engine/codec-tools.ts'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { createApi } from '../../../src/http/api/api.ts'
import { readConfig } from '../../../src/main/config.ts'
import { ensureEmbedded } from '../../../src/main/embedded.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { issueToken } from '../../../src/main/tokens.ts'
import { createDoctor } from '../../../src/main/upkeep-doctor.ts'
import { openVault, type Vault } from '../../../src/main/vault.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { repair } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import { makeFolders, oldPassphrase, sha256, storeInto } from '../../support/rebuild-stage.ts'
import { makeTestVault, silentLog, testKdfCost, type TestVault } from '../../support/test-vault.ts'
import { movableClock, never } from '../../support/upkeep-stage.ts'
import { serve } from '../../unit/http-api/api-stage.ts'
import { mosaik } from '../processes/fleet.ts'

// What docs/OPERATIONS.md says under "Nodes" and "When something happens", with the commands that stand there, on a vault that runs.

const manual = readFileSync(new URL('../../../docs/OPERATIONS.md', import.meta.url), 'utf8')
const HOUR_MS = 3_600_000
const NAMES = ['north', 'south', 'east', 'west', 'middle', 'spare'] as const

const folders = makeFolders()
const clock = movableClock()
const content = randomBytes(30_000)
let vault: TestVault | undefined
let server: { url: string; close(): Promise<void> } | undefined
let recording: string
let token: string
afterEach(async () => {
  await server?.close()
  await vault?.close()
  server = vault = undefined
  folders.remove()
})

/** A vault with a recording on some of its nodes, and its API. */
async function begin(nodesCount: number): Promise<TestVault> {
  vault = await makeTestVault({
    ...{ placementRule: 'strict', threads: 0, clock },
    nodes: NAMES.slice(0, nodesCount).map((name) => ({
      name,
      settings: { driver: 'directory', path: folders.make() },
    })),
  })
  recording = await storeInto(vault, content, 'meeting')
  const { catalog, reader, operations: nodes, random, log } = vault
  const more = {
    confinement: 'bubblewrap',
    kernel: 'relaxed',
    isReadOnly: () => false,
    scrubPeriodMs: 30 * 24 * HOUR_MS,
  }
  const health = createDoctor({ ...vault, nodes, ...more })
  const api = createApi({
    ...{ catalog, reader, nodes, health, clock, random, log, publicUrl: 'https://vault.example' },
    ...{ links: undefined as never, access: undefined as never, rates: new MemoryRateCounter(clock) },
    ...{ announce: () => undefined, linksChanged: () => undefined },
  })
  server = await serve((app) => void app.use('/api/v1', api))
  const owner = { organisation: vault.organisation, role: 'operator' as const, name: 'operator' }
  token = (await issueToken({ ...vault, tokens: catalog.tokens }, owner)).token
  return vault
}

/** Runs a line of the manual; `given` stands for its placeholders, in their order. */
async function run<T>(line: string, ...given: readonly string[]): Promise<T> {
  expect(manual).toContain(`npx mosaik ${line}`)
  const left = [...given]
  const words = (line.match(/"[^"]*"|\S+/g) ?? []).map((word) =>
    /^(NODE|…|\/mnt\/.*)$/.test(word) ? left.shift()! : word.replaceAll('"', ''),
  )
  expect(left).toEqual([])
  const environment = {
    PATH: process.env['PATH'],
    MOSAIK_URL: server!.url,
    MOSAIK_TOKEN: token,
    MOSAIK_DATA: vault!.folder,
  }
  return await mosaik<T>(environment, ...words)
}

interface Progress {
  readonly state: string
  readonly sharesWaiting: number
  readonly sharingsExposed: number
}

/** What the process that has the upkeep does in its time. */
async function upkeep(): Promise<void> {
  await survey(vault!, never)
  const ports = { ...vault!, tools: createCodecTools(), signer: shareSigner(vault!.keyring) }
  await repair(ports, { bytesPerSecond: Infinity }, never)
  clock.movedMs += HOUR_MS
  await collect(vault!, never)
}

/** Names of nodes that hold shares of the recording, or of one sharing of it. */
async function holders(sharing?: string | null): Promise<string[]> {
  const nodes = await vault!.catalog.installation.nodes()
  const stored = (await vault!.catalog.upkeep.surveyed(recording))!.objects.filter(
    (row) => row.state === 'stored' && (sharing === undefined || row.sharing === sharing),
  )
  return [...new Set(stored.map(({ node }) => nodes.find(({ id }) => id === node)!.name))].toSorted()
}

async function sharings(): Promise<Set<string | null>> {
  const { objects } = (await vault!.catalog.upkeep.surveyed(recording))!
  return new Set(objects.filter(({ state }) => state === 'stored').map(({ sharing }) => sharing))
}

async function expectWell(): Promise<void> {
  expect((await fsck(vault!, never)).violations.filter(({ name }) => name !== 'state-shares-too-few')).toEqual([])
  const opened = await vault!.reader.open(vault!.organisation, recording, 'download', never)
  const original = opened.manifest.assets.find(({ kind }) => kind === 'original')!
  const chunks: Uint8Array[] = []
  for await (const chunk of opened.asset(original.id).read(0, original.contentBytes, never)) chunks.push(chunk)
  expect(sha256(Buffer.concat(chunks))).toBe(sha256(content))
}

describe('the runbooks of nodes', { timeout: 180_000 }, () => {
  it('add, and empty and take out another one: it holds nothing any more', async () => {
    await begin(5)
    const path = folders.make()
    const line = 'nodes add attic --path /mnt/attic/mosaik --country DE --operator "Example GmbH" --site "Hamburg 1"'
    expect(await run(line, path)).toMatchObject({ name: 'attic', state: 'active', trouble: null })
    expect(await run('nodes drain north')).toMatchObject({ state: 'draining', sharesWaiting: 2 })
    await upkeep()
    expect(await run<Progress>('nodes drain north --status')).toMatchObject({ sharesWaiting: 0 })
    expect(await holders()).toEqual(['attic', 'east', 'middle', 'south', 'west'])
    await expectWell()
    await run('nodes remove NODE', 'north')
    const { nodes } = await run<{ nodes: { name: string; state: string }[] }>('nodes ls')
    expect(nodes.find(({ name }) => name === 'north')).toMatchObject({ state: 'removed' })
    expect(
      readdirSync(join(vault!.nodeFolders[0]!, 'f'), { recursive: true, withFileTypes: true }).filter((one) =>
        one.isFile(),
      ),
    ).toEqual([])
  })

  it('a node is lost for good: drained without an answer from it', async () => {
    await begin(6)
    const lost = (await holders())[0]!
    const folder = vault!.nodeFolders[NAMES.indexOf(lost as (typeof NAMES)[number])]!
    rmSync(folder, { recursive: true })
    mkdirSync(folder)
    vault!.pool.refresh()
    expect(manual).toContain('npx mosaik nodes drain NODE')
    expect(await run('nodes drain NODE', lost)).toMatchObject({ state: 'draining' })
    await survey(vault!, never)
    const ports = { ...vault!, tools: createCodecTools(), signer: shareSigner(vault!.keyring) }
    expect(await repair(ports, { bytesPerSecond: Infinity }, never)).toMatchObject({ shares: 2, waiting: 0 })
    expect(await holders()).not.toContain(lost)
    const report = await run<{ nodes: { name: string; trouble: unknown }[]; advice?: string[] }>('doctor')
    expect(JSON.stringify(report)).toContain(lost)
  })

  it('a buy-out: two nodes belong to one company, and what is against the rule is shared anew', async () => {
    await begin(6)
    const [buyer, bought] = (await holders()) as [string, string]
    const before = await sharings()
    const owner = `operator of ${buyer}`
    await run('nodes set NODE --operator … --parent … --site … --country …', bought, owner, owner, `${owner} 2`, 'DE')
    expect((await fsck(vault!, never)).violations.map(({ name }) => name)).toContain('placement-violated')
    await upkeep()
    const now = await sharings()
    expect([...now].filter((sharing) => before.has(sharing))).toEqual([])
    for (const sharing of now) {
      const standing = await holders(sharing)
      expect(standing).toHaveLength(5)
      expect(standing.includes(buyer) && standing.includes(bought)).toBe(false)
    }
    await expectWell()
  })

  it('a compromised node: dismissed, and what it knows is worthless', async () => {
    await begin(6)
    const [stolen] = (await holders()) as [string]
    const before = await sharings()
    expect(await run<Progress>('nodes dismiss NODE', stolen)).toMatchObject({ state: 'dismissed', sharingsExposed: 2 })
    await upkeep()
    expect(manual).toContain('(`--pause`, `--status`)')
    expect(
      await vault!.operations.progress((await vault!.operations.list()).find(({ name }) => name === stolen)!.id),
    ).toMatchObject({ sharingsExposed: 0 })
    expect([...(await sharings())].filter((sharing) => before.has(sharing))).toEqual([])
    expect(await holders()).not.toContain(stolen)
    await expectWell()
  })
})

describe('Redis is lost', { timeout: 180_000 }, () => {
  let running: Vault | undefined
  afterEach(async () => {
    await running?.close()
    running = undefined
  })

  /** The child whose socket lies in that folder. */
  function redisOf(data: string): number {
    const found = readdirSync('/proc').filter((name) => {
      if (!/^\d+$/.test(name)) return false
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8')
        return command.includes('redis-server') && command.includes(data)
      } catch {
        return false
      }
    })
    expect(found).toHaveLength(1)
    return Number(found[0])
  }

  it('with its file, in the middle of work: nothing is to be done, and nothing is lost', async (context) => {
    context.skip(process.platform !== 'linux', 'needs /proc')
    expect(manual).toContain('**Redis is lost or emptied.** Nothing to do.')
    const data = folders.make()
    const config = readConfig({}, { MOSAIK_DATA: data })
    running = await openVault({
      ...{ config, opening: { passphrase: oldPassphrase }, clock: nodeClock, random: nodeRandom(), log: silentLog },
      ...{ kdfCost: testKdfCost, childEnvironment: process.env },
    })
    const opened = running
    const { organisation } = await ensureEmbedded(opened, config)
    const deposit = async (name: string): Promise<string> => {
      const path = join(data, name)
      writeFileSync(path, randomBytes(5_000))
      const given = await opened.intake.deposit(organisation, {
        info: {
          ...{ title: name, source: { kind: 'test', externalId: name }, participants: [], startedAtMs: null },
          host: { id: 'host', name: 'Ada', email: null },
        },
        original: { kind: 'file', path, deleteAfterReceipt: false, ...(await describeFile(path)) },
        captions: [],
      })
      return given.recording
    }
    const receiptOf = async (id: string) => await opened.catalog.recordings.receipt(id)
    const [first, second] = [await deposit('first'), await deposit('second')]
    process.kill(redisOf(data), 'SIGKILL')
    for (const name of readdirSync(join(data, 'redis')).filter((one) => /append|rdb/.test(one))) {
      rmSync(join(data, 'redis', name), { recursive: true })
    }
    const third = await deposit('third')
    for (const id of [first, second, third]) {
      await expect.poll(() => receiptOf(id), { timeout: 120_000 }).toBeDefined()
    }
  })
})
