import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createArgon2Passcodes } from '../adapters/argon2-passcode.ts'
import { createBullQueue } from '../adapters/bullmq/queue.ts'
import { createFfmpegTool } from '../adapters/ffmpeg/tool.ts'
import type { KdfCost } from '../adapters/file-keyring/sealed-file.ts'
import type { KeyringOpening } from '../adapters/file-keyring/unlock.ts'
import { MemoryRateCounter } from '../adapters/memory-rate-counter.ts'
import { createPrometheusMetrics } from '../adapters/metrics.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { createNodeDriver } from '../adapters/open-store.ts'
import { startRedisChild } from '../adapters/redis-child.ts'
import { RedisRateCounter } from '../adapters/redis-rate-counter.ts'
import { openSpoolFiles } from '../adapters/spool-files.ts'
import { createCodecTools } from '../adapters/segment-engine/codec-tools.ts'
import { createWorkerEngine } from '../adapters/segment-engine/worker-engine.ts'
import { openPostgresCatalog, openSqliteCatalog } from '../adapters/sql-catalog/open.ts'
import { createLinks, type Links } from '../access/links.ts'
import { MosaikError } from '../domain/errors.ts'
import { fromHex, toHex, type Id } from '../domain/ids.ts'
import { issueReceipt } from '../ledger/receipt.ts'
import { createIntake } from '../pipeline/intake.ts'
import { createSpool } from '../pipeline/spool.ts'
import type { ReceiptFacts } from '../pipeline/store-original.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { NodeRow } from '../ports/catalog/access.ts'
import type { HealthSource } from '../ports/health.ts'
import type { JobQueue } from '../ports/jobs.ts'
import type { Keyring } from '../ports/keyring.ts'
import type { AccessOperations } from '../ports/access-operations.ts'
import type { NodeOperations } from '../ports/node-operations.ts'
import type { RateCounter } from '../ports/rate-counter.ts'
import type { Intake } from '../ports/source.ts'
import type { Spool } from '../ports/spool.ts'
import type { Clock, Log, Random } from '../ports/system.ts'
import type { VaultReader } from '../ports/vault-reader.ts'
import { createVaultReader } from '../retrieve/open-recording.ts'
import { createAccessOperations } from './access.ts'
import { catalogStanding, watchStanding } from './catalog-standing.ts'
import type { Config } from './config.ts'
import { groups as allGroups, stagesOf, type Group } from './groups.ts'
import { measuredCatalog, measuredDriver, measuredEngine, measuredReader, measuredTable } from './measured.ts'
import { startMetricsServer } from './metrics-server.ts'
import { CatalogNodePool } from './node-pool.ts'
import { noMedia, noQueue, noSpool, noUpkeep } from './not-here.ts'
import { createNodeOperations } from './nodes.ts'
import { openKeyring } from './open-keyring.ts'
import { spreadCards, type OrganisationPorts } from './organisations.ts'
import { announcer, queueTable, startWorkers } from './queues.ts'
import { readiness } from './readiness.ts'
import { shareSigner } from './share-signer.ts'
import { sourceAccess } from './source-access.ts'
import { checkSpool } from './spool-folder.ts'
import { createDoctor } from './upkeep-doctor.ts'
import { DAY_MS, startHealthUpkeep } from './upkeep-health.ts'
import { startRewrapUpkeep } from './upkeep-rewrap.ts'
import { startUpkeep, type Upkeep } from './upkeep.ts'
import { findingLog } from '../upkeep/blind/read-findings.ts'

/** What a process opens; tests give their own pieces. */
export interface VaultOptions {
  readonly config: Config
  /** Of the keyring that is there, or of a new one. */
  readonly opening: KeyringOpening
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Cost of the passphrase derivation when the keyring is made; strong when left out. */
  readonly kdfCost?: KdfCost
  /** Tells what the environment of child processes is. */
  readonly childEnvironment: NodeJS.ProcessEnv
  /**
   * What this process does, one of several that share catalog, Redis and keyring; each opens only what it needs. Left out: the embedded
   * form, which does everything, and makes what is missing.
   */
  readonly groups?: readonly Group[]
}

/** A vault with everything behind it, without the doors (HTTP). */
export interface Vault {
  readonly installationId: Id
  readonly catalog: Catalog
  readonly keyring: Keyring
  readonly queue: JobQueue
  readonly reader: VaultReader
  readonly intake: Intake
  /** The catalog is older than what lies on the nodes: nothing is written, collected or accepted. May turn out while the vault runs. */
  readonly isReadOnly: boolean
  /** Resolves when it turns out while the vault runs. */
  readonly becameReadOnly: Promise<void>
  readonly links: Links
  readonly spool: Spool
  readonly nodes: NodeOperations
  readonly pool: CatalogNodePool
  readonly organisations: OrganisationPorts
  readonly access: AccessOperations
  /** Shared by all processes on a Redis of their own. */
  readonly rates: RateCounter
  readonly upkeep: Pick<Upkeep, 'stateChanged'>
  readonly health: HealthSource
  readonly confinement: string
  readonly kernelName: string
  /** Words for what keeps this process from its work; none when it is ready. */
  readiness(): Promise<string[]>
  readonly announce: ReturnType<typeof announcer>
  /** Hands running work back and closes everything, in order. */
  close(): Promise<void>
}

/** Opened manifests whose ten minutes are over are looked for this often. */
const FORGET_EVERY_MS = 30_000

/** Opens (on first use: makes) the vault of a data folder, and starts its workers. @throws E_CONFIG, E_SETUP, E_KEYRING_PASSPHRASE */
export async function openVault(options: VaultOptions): Promise<Vault> {
  const { config, clock, random, log } = options
  const closers: (() => Promise<unknown>)[] = []
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).toReversed()) {
      await closer().catch((error: unknown) => log.error('vault.close-failed', { cause: String(error) }))
    }
  }
  try {
    return await assemble(closers, close)
  } catch (error) {
    await close()
    throw error
  }

  async function assemble(closing: (() => Promise<unknown>)[], closeAll: () => Promise<void>): Promise<Vault> {
    const groups = options.groups ?? allGroups
    const isEmbedded = options.groups === undefined
    const does = (...wanted: Group[]): boolean => wanted.some((group) => groups.includes(group))
    const prometheus = config.metrics === undefined ? undefined : createPrometheusMetrics()
    const metrics = prometheus?.metrics
    mkdirSync(config.data, { recursive: true, mode: 0o700 })
    const plainCatalog =
      config.databaseUrl === undefined
        ? openSqliteCatalog(join(config.data, 'catalog.sqlite'), clock)
        : openPostgresCatalog(config.databaseUrl, clock)
    closing.push(() => plainCatalog.close())
    await plainCatalog.migrate()
    const catalog = metrics ? measuredCatalog(plainCatalog, metrics, clock) : plainCatalog
    const keyring = await openKeyring({ ...options, mayNotMake: options.groups !== undefined }, catalog, metrics)
    closing.push(() => Promise.resolve(keyring.close()))
    const installationId = await catalog.installation.installation(toHex(random.bytes(16)))
    const usesQueue = does('api', 'store', 'transcode')
    const queue = usesQueue ? await openQueue(options, closing) : noQueue

    // Its threads start with the first segment: who splits nothing has none for it.
    const plainEngine = createWorkerEngine({ workers: config.threads })
    closing.push(() => plainEngine.close())
    const engine = metrics ? measuredEngine(plainEngine, metrics) : plainEngine
    const plainDriver = createNodeDriver({ clock, random })
    const driver = metrics ? measuredDriver(plainDriver, metrics, clock) : plainDriver
    const pool = new CatalogNodePool({
      installation: catalog.installation,
      installationId,
      atRest: keyring,
      driver,
      clock,
      late: metrics && ((node) => metrics.hedged(node)),
    })
    closing.push(() => pool.close())
    const media = does('transcode')
      ? await createFfmpegTool({ clock, random, log, confinement: config.confinement })
      : noMedia
    const common = {
      catalog,
      keyring,
      pool,
      engine,
      clock,
      random,
      log,
      installationId,
      primitives: nodePrimitives,
      atRest: keyring,
      layout: catalog.layout,
      recordings: catalog.recordings,
      installation: catalog.installation,
      links: catalog.links,
      suite: config.suite,
      padding: config.padding,
      queue,
    }
    const plainReader = createVaultReader({ ...common, log: findingLog(common) })
    const reader = metrics ? measuredReader(plainReader, metrics) : plainReader
    const forgetting = setInterval(() => plainReader.forgetExpired(), FORGET_EVERY_MS)
    forgetting.unref()
    closing.push(() => Promise.resolve(clearInterval(forgetting)))
    const hasSpool = does('api', 'store')
    if (hasSpool && !isEmbedded) checkSpool(config, installationId)
    const spool = hasSpool
      ? createSpool({
          files: openSpoolFiles(join(config.data, 'spool')),
          keys: keyring,
          primitives: nodePrimitives,
          random,
        })
      : noSpool
    const sources = sourceAccess(catalog, spool, clock)
    const announce = announcer(common)
    const openIntake = createIntake({ ...common, announce: (work) => announce({ ...work, fence: 0 }, 0) })
    const plainTable = queueTable({
      ...common,
      reader,
      media,
      sources,
      issueReceipt: receiptIssuer(keyring, installationId),
    })
    const table = metrics ? measuredTable(plainTable, metrics, clock) : plainTable
    const scrubPeriodMs = config.scrubDays * DAY_MS
    const stages = groups.flatMap((group) => stagesOf[group])
    const duties = {
      vault: does('upkeep'),
      // Only where the spool's disk is: elsewhere it would look empty, and keys would be destroyed that its files need.
      spool: does('store'),
      // A process of its own learns of changes from the catalog alone.
      watch: !isEmbedded,
    }
    let standing = await catalogStanding(common)
    const becameReadOnly = Promise.withResolvers<void>()
    /** What acts on the catalog; runs only while that is known to be level with the nodes. */
    const acting: { close(): Promise<void> }[] = []
    let upkeep = noUpkeep
    const act = (): void => {
      if (stages.length > 0) acting.push(startWorkers(common, table, stages))
      if (duties.vault || duties.spool) {
        upkeep = startUpkeep({ ...common, spool, location: (node) => locationOf(node) }, duties)
        acting.push(upkeep)
      }
      if (!does('upkeep')) return
      const signer = shareSigner(keyring)
      acting.push(startHealthUpkeep({ ...common, tools: createCodecTools(), signer, scrubPeriodMs }))
      acting.push(startRewrapUpkeep(common))
    }
    const stopActing = async (): Promise<void> => {
      upkeep = noUpkeep
      for (const one of acting.splice(0).toReversed()) await one.close()
    }
    closing.push(stopActing)
    if (standing === 'level') act()
    if (standing === 'unknown') log.warn('catalog.standing-unknown')
    const watching = watchStanding(common, standing, async (now) => {
      standing = now
      if (now === 'level') return act()
      await stopActing()
      becameReadOnly.resolve()
    })
    closing.push(() => watching.close())
    const isReadOnly = (): boolean => standing === 'behind'
    const organisations: OrganisationPorts = common
    const access = createAccessOperations({
      ...common,
      isReadOnly,
      organisationAdded: (organisation) => upkeep.stateChanged(organisation),
    })
    const rates = does('api') ? openRates(options, installationId, closing) : new MemoryRateCounter(clock)
    const nodes = createNodeOperations({
      ...common,
      driver,
      spreadCards: (node) => spreadCards(organisations, node),
      nodesChanged: () => upkeep.stateChanged(),
    })
    const health = createDoctor({
      ...{ catalog, nodes, pool, clock, isReadOnly, scrubPeriodMs },
      ...{ confinement: media.confinement, kernel: plainEngine.kernelName },
    })
    const links = createLinks({
      ...{ catalog: catalog.links, keyring, clock, random },
      passcodes: createArgon2Passcodes(random),
    })
    const check = (): Promise<string[]> =>
      readiness({ catalog: plainCatalog, pool, queue: stages.length > 0 ? queue : undefined })
    if (prometheus && config.metrics !== undefined) {
      if (does('upkeep'))
        prometheus.watchBacklog(
          () => catalog.work.backlog(clock.nowMs()),
          () => clock.nowMs(),
        )
      const server = await startMetricsServer(config.metrics, { metrics: prometheus, check, log })
      closing.push(() => server.close())
      log.info('metrics.listening', { address: server.address })
    }
    return {
      installationId,
      catalog,
      keyring,
      queue,
      reader,
      intake: { deposit: (...given) => (isReadOnly() ? closedIntake : openIntake).deposit(...given) },
      get isReadOnly() {
        return isReadOnly()
      },
      becameReadOnly: becameReadOnly.promise,
      links,
      spool,
      nodes,
      pool,
      organisations,
      access,
      rates,
      upkeep: { stateChanged: (organisation) => upkeep.stateChanged(organisation) },
      announce,
      health,
      confinement: media.confinement,
      kernelName: plainEngine.kernelName,
      readiness: check,
      close: closeAll,
    }
  }
}

const closedIntake: Intake = {
  deposit: () =>
    Promise.reject(
      new MosaikError(
        'E_READ_ONLY',
        'the catalog is older than what lies on the nodes (a restored backup?): the vault only plays; see docs/OPERATIONS.md "The catalog is lost"',
      ),
    ),
}

async function openQueue(options: VaultOptions, closing: (() => Promise<unknown>)[]): Promise<JobQueue> {
  const { config, clock, log, childEnvironment } = options
  let url = config.redisUrl
  if (url === undefined) {
    const redis = await startRedisChild({
      folder: join(config.data, 'redis'),
      clock,
      log,
      environment: childEnvironment,
    })
    closing.push(() => redis.close())
    url = redis.url
  }
  const queue = await createBullQueue({ url, clock, log })
  closing.push(() => queue.close())
  return queue
}

/** One process counts for itself; several on a Redis of their own count together. */
function openRates(
  { config, clock, log }: VaultOptions,
  installationId: Id,
  closing: (() => Promise<unknown>)[],
): RateCounter {
  if (config.redisUrl === undefined) return new MemoryRateCounter(clock)
  const rates = new RedisRateCounter({ url: config.redisUrl, clock, log, key: fromHex(installationId) })
  closing.push(() => rates.close())
  return rates
}

function receiptIssuer(keyring: Keyring, installation: Id): (facts: ReceiptFacts) => Promise<Uint8Array> {
  return async ({ scheme, ...facts }) => {
    const { signing, epoch } = await keyring.publicKeys(facts.organisation)
    return await issueReceipt({
      facts: { ...facts, ...scheme, installation },
      signing,
      sign: (message) => keyring.sign(facts.organisation, epoch, 'mosaik/v1/receipt', message),
      primitives: nodePrimitives,
    })
  }
}

function locationOf({ settings }: NodeRow): string {
  const text = (name: string): string => (typeof settings[name] === 'string' ? settings[name] : '')
  return settings['driver'] === 'directory' ? text('path') : `${text('endpoint')}/${text('bucket')}/${text('prefix')}`
}
