import { mkdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createFileKeyring } from '../../src/adapters/file-keyring/file-keyring.ts'
import { fileSource, releaseFile } from '../../src/adapters/file-source.ts'
import { nodePrimitives } from '../../src/adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../src/adapters/node-system.ts'
import { createNodeDriver, type StoreWorld } from '../../src/adapters/open-store.ts'
import { createWorkerEngine } from '../../src/adapters/segment-engine/worker-engine.ts'
import { openSqliteCatalog } from '../../src/adapters/sql-catalog/open.ts'
import type { Scheme } from '../../src/domain/dispersal.ts'
import { toHex, type Id } from '../../src/domain/ids.ts'
import type { Padding } from '../../src/domain/padding.ts'
import type { PlacementRule } from '../../src/domain/placement.ts'
import { issueReceipt } from '../../src/ledger/receipt.ts'
import { createNodeOperations } from '../../src/main/nodes.ts'
import { CatalogNodePool } from '../../src/main/node-pool.ts'
import { createOrganisation, spreadCards } from '../../src/main/organisations.ts'
import { queueTable } from '../../src/main/queues.ts'
import { runWork } from '../../src/main/runner.ts'
import { createIntake } from '../../src/pipeline/intake.ts'
import type { MediaTool } from '../../src/ports/media.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import type { NodeCapabilities, NodeDriver, NodeSettings } from '../../src/ports/node-driver.ts'
import type { ObjectStore } from '../../src/ports/object-store.ts'
import type { SegmentEngine } from '../../src/ports/segment-engine.ts'
import type { Clock, Log, Random } from '../../src/ports/system.ts'
import { createInlineEngine } from '../../src/adapters/segment-engine/inline-engine.ts'
import type { MemoryStore } from './memory-store.ts'
import { makeTestFolder } from './test-folder.ts'
import type { WorkRow } from '../../src/ports/catalog/recordings.ts'
import { createVaultReader } from '../../src/retrieve/open-recording.ts'
import { MosaikError } from '../../src/domain/errors.ts'

/** Cheap argon2id for tests. */
export const testKdfCost = { memoryKiB: 64, passes: 1, parallelism: 1 }

export const silentLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined }

export interface TestVaultOptions {
  readonly scheme?: Scheme
  readonly placementRule?: PlacementRule
  readonly padding?: Padding
  readonly media?: MediaTool
  /** Settings of the nodes; five folders without. */
  readonly nodes?: readonly {
    readonly name: string
    readonly settings: Record<string, unknown>
    readonly operator?: string
    /** What a probe would find out; probed without. */
    readonly capabilities?: NodeCapabilities
  }[]
  readonly log?: Log
  readonly clock?: Clock
  readonly random?: Random
  /** Nodes in memory instead of folders: their faults are the test's. */
  readonly memory?: readonly MemoryStore[]
  /** How long S3 nodes may take. */
  readonly s3Limits?: NonNullable<StoreWorld['s3Limits']>
  /** Puts itself between the vault and every store that it opens. */
  readonly wrapStore?: (store: ObjectStore, label: string) => ObjectStore
  /** Threads of the segment engine; 0: in place. */
  readonly threads?: number
  /** Pieces of the catalog with faults. */
  readonly wrapCatalog?: (catalog: Catalog) => Catalog
}

/** A real vault in a temporary folder, without doors and queue: the test runs the work itself and sees each step. */
export async function makeTestVault(options: TestVaultOptions = {}) {
  const folder = makeTestFolder('mosaik-test-')
  const clock = options.clock ?? nodeClock
  const random = options.random ?? nodeRandom()
  const primitives = nodePrimitives
  const log = options.log ?? silentLog
  const sqlite = openSqliteCatalog(join(folder, 'catalog.sqlite'), clock)
  await sqlite.migrate()
  const catalog = options.wrapCatalog?.(sqlite) ?? sqlite
  const keyring = await createFileKeyring(
    {
      ...{ folder, passphrase: 'a passphrase of tests', clock, random, primitives },
      record: () => Promise.resolve(),
    },
    testKdfCost,
  )
  const installationId = await catalog.installation.installation(toHex(random.bytes(16)))
  const driver = testDriver(
    createNodeDriver({ clock, random, ...(options.s3Limits && { s3Limits: options.s3Limits }) }),
    options,
  )
  const pool = new CatalogNodePool({
    installation: catalog.installation,
    installationId,
    atRest: keyring,
    driver,
    clock,
  })
  const { threads = 2 } = options
  const engine: SegmentEngine = threads === 0 ? createInlineEngine() : createWorkerEngine({ workers: threads })
  const common = {
    catalog,
    keyring,
    pool,
    engine,
    clock,
    random,
    log,
    installationId,
    primitives,
    atRest: keyring,
    layout: catalog.layout,
    recordings: catalog.recordings,
    installation: catalog.installation,
    links: catalog.links,
    suite: 1 as const,
    padding: options.padding ?? 'none',
  }
  const organisation = await createOrganisation(common, {
    name: 'test',
    scheme: options.scheme ?? { k: 3, n: 5, t: 1 },
    placementRule: options.placementRule ?? 'none',
  })
  const operationsWith = (by: NodeDriver) =>
    createNodeOperations({
      ...common,
      driver: by,
      spreadCards: (node) => spreadCards(common, node),
      nodesChanged: () => undefined,
    })
  const operations = operationsWith(driver)
  const given =
    options.nodes ??
    options.memory?.map((_, index) => ({
      name: `memory-${index + 1}`,
      settings: { driver: 'directory', path: `${MEMORY}${index}` },
    })) ??
    [1, 2, 3, 4, 5].map((number) => {
      const path = join(folder, 'nodes', `folder-${number}`)
      mkdirSync(path, { recursive: true })
      return { name: `folder-${number}`, settings: { driver: 'directory', path } }
    })
  for (const { name, settings, ...more } of given) {
    const operator = 'operator' in more && more.operator !== undefined ? more.operator : `operator of ${name}`
    const known = 'capabilities' in more ? more.capabilities : undefined
    const adding = known ? operationsWith({ ...driver, probe: () => Promise.resolve(known) }) : operations
    await adding.add({ name, settings, country: 'DE', operator, parent: operator, site: `site of ${operator}` })
  }
  const announced: Pick<WorkRow, 'id' | 'stage'>[] = []
  const intake = createIntake({ ...common, announce: (work) => announced.push(work) })
  const reader = createVaultReader(common)
  const noMedia: MediaTool = {
    confinement: 'none',
    probe: () => Promise.reject(new MosaikError('E_MEDIA_UNSUPPORTED', 'this test transcodes nothing')),
    renditions: () => Promise.reject(new MosaikError('E_MEDIA_UNSUPPORTED', 'this test transcodes nothing')),
    poster: () => Promise.resolve(undefined),
    storyboard: () => Promise.reject(new MosaikError('E_MEDIA_UNSUPPORTED', 'this test transcodes nothing')),
    captions: () => Promise.reject(new MosaikError('E_MEDIA_UNSUPPORTED', 'this test transcodes nothing')),
  }
  const tablePorts: Parameters<typeof queueTable>[0] = {
    ...common,
    reader,
    media: options.media ?? noMedia,
    sources: {
      open: (input) => {
        if (input.kind !== 'file') throw new Error('the test vault takes files')
        return Promise.resolve(fileSource(input))
      },
      release: async (input) => {
        if (input.kind === 'file') await releaseFile(input)
      },
    },
    issueReceipt: async ({ scheme, ...facts }) => {
      const { signing, epoch } = await keyring.publicKeys(facts.organisation)
      return await issueReceipt({
        facts: { ...facts, ...scheme, installation: installationId },
        signing,
        sign: (message) => keyring.sign(facts.organisation, epoch, 'mosaik/v1/receipt', message),
        primitives,
      })
    },
  }
  const table = queueTable(tablePorts)
  const never = new AbortController().signal
  return {
    ...common,
    folder,
    driver,
    organisation,
    operations,
    intake,
    reader,
    table,
    announced,
    nodeFolders: given.map(({ settings }) => String(settings['path'])),
    /** The same stages on another view of the catalog, or with other pieces. */
    tableWith: (view: Catalog, pieces: Partial<typeof tablePorts> = {}) =>
      queueTable({ ...tablePorts, catalog: view, layout: view.layout, recordings: view.recordings, ...pieces }),
    /** Runs one piece of work once. */
    async runOnce(work: Pick<WorkRow, 'id' | 'stage'>, signal: AbortSignal = never): Promise<void> {
      await runWork({ ...common, announce: () => undefined }, table[work.stage], work.id, signal)
    },
    /** The recording's work of a stage. */
    async workOf(recording: Id, stage: WorkRow['stage']): Promise<WorkRow> {
      const found = (await catalog.work.ofRecording(recording)).find((work) => work.stage === stage)
      if (!found) throw new Error(`there is no ${stage} work`)
      return found
    },
    /** Runs what is due, again and again, until nothing is (work that was put off is not waited for). */
    async runDue(signal: AbortSignal = never): Promise<void> {
      for (
        let due = await catalog.work.due(clock.nowMs(), 10);
        due.length > 0;
        due = await catalog.work.due(clock.nowMs(), 10)
      ) {
        for (const work of due) {
          await runWork({ ...common, announce: () => undefined }, table[work.stage], work.id, signal)
        }
      }
    },
    async deposit(
      path: string,
      extra: {
        title?: string
        sizeBytes: number
        modifiedAtMs: number
        sha256?: string
        captionsPaths?: readonly string[]
        externalId?: string
        deleteAfterReceipt?: boolean
      },
    ): Promise<Id> {
      const { recording } = await intake.deposit(organisation, {
        info: {
          title: extra.title ?? 'a meeting',
          source: { kind: 'test', externalId: extra.externalId ?? null },
          host: { id: 'host-1', name: 'Ada', email: 'ada@example.org' },
          participants: [{ name: 'Grace', email: null }],
          startedAtMs: 1_700_000_000_000,
        },
        original: {
          kind: 'file',
          path,
          sizeBytes: extra.sizeBytes,
          modifiedAtMs: extra.modifiedAtMs,
          deleteAfterReceipt: extra.deleteAfterReceipt ?? false,
          ...(extra.sha256 === undefined ? {} : { sha256: extra.sha256 }),
        },
        captions: (extra.captionsPaths ?? []).map((captionsPath) => {
          const { size, mtimeMs } = statSync(captionsPath)
          const modifiedAtMs = Math.round(mtimeMs)
          return { kind: 'file', path: captionsPath, sizeBytes: size, modifiedAtMs, deleteAfterReceipt: false }
        }),
      })
      return recording
    },
    async close(): Promise<void> {
      await engine.close()
      await pool.close()
      await catalog.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const MEMORY = '/memory/'

function testDriver(real: NodeDriver, { memory, wrapStore }: TestVaultOptions): NodeDriver {
  const inMemory = (settings: NodeSettings): MemoryStore | undefined =>
    settings.driver === 'directory' && settings.path.startsWith(MEMORY)
      ? memory?.[Number(settings.path.slice(MEMORY.length))]
      : undefined
  return {
    probe: (settings, signal) =>
      inMemory(settings)
        ? Promise.resolve({ driver: 'directory', probedAtMs: 0, freeBytes: 1, device: 'memory' })
        : real.probe(settings, signal),
    async open(settings, capabilities, openOptions) {
      const store = inMemory(settings) ?? (await real.open(settings, capabilities, openOptions))
      return wrapStore?.(store, openOptions?.label ?? '') ?? store
    },
  }
}

export type TestVault = Awaited<ReturnType<typeof makeTestVault>>
