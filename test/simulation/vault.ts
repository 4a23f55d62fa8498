import { createInlineEngine } from '../../src/adapters/segment-engine/inline-engine.ts'
import { createCodecTools } from '../../src/adapters/segment-engine/codec-tools.ts'
import { nodePrimitives } from '../../src/adapters/node-primitives.ts'
import { issueReceipt } from '../../src/ledger/receipt.ts'
import { CatalogNodePool } from '../../src/main/node-pool.ts'
import { announcer, queueTable, startWorkers } from '../../src/main/queues.ts'
import { shareSigner } from '../../src/main/share-signer.ts'
import { sourceAccess } from '../../src/main/source-access.ts'
import { startUpkeep } from '../../src/main/upkeep.ts'
import { startHealthUpkeep } from '../../src/main/upkeep-health.ts'
import { startRewrapUpkeep } from '../../src/main/upkeep-rewrap.ts'
import type { Padding } from '../../src/domain/padding.ts'
import { createIntake } from '../../src/pipeline/intake.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import type { WorkInput } from '../../src/ports/catalog/recordings.ts'
import type { MediaTool } from '../../src/ports/media.ts'
import type { NodeDriver } from '../../src/ports/node-driver.ts'
import type { Intake, SourceAccess } from '../../src/ports/source.ts'
import type { Clock, Log, Random } from '../../src/ports/system.ts'
import type { VaultReader } from '../../src/ports/vault-reader.ts'
import { createVaultReader } from '../../src/retrieve/open-recording.ts'
import { findingLog } from '../../src/upkeep/blind/read-findings.ts'
import { INSTALLATION, type SimulationKeys } from './keys.ts'
import type { SimulatedNode } from './node.ts'
import type { SimulatedProcess } from './process.ts'
import type { SimulatedQueue } from './queue.ts'
import { SimulatedUploads, type SimulatedSpool } from './uploads.ts'

export type Kind = 'api' | 'worker' | 'upkeep'

/** What a simulated vault is made of: what outlives its processes. */
export interface VaultParts {
  readonly keys: SimulationKeys
  /** The catalog itself, without faults. */
  readonly catalog: Catalog
  readonly nodes: readonly SimulatedNode[]
  readonly queue: SimulatedQueue
  readonly media: MediaTool
  /** Files that sources offer. */
  readonly sources: SourceAccess
  readonly spool: SimulatedSpool
  readonly random: Random
  readonly padding: Padding
}

const SCRUB_PERIOD_MS = 30 * 24 * 3_600_000

// Kernel and tables: without state.
const engine = createInlineEngine()
const tools = createCodecTools()

/** Settings of simulated nodes: folders that do not exist. */
export const pathOf = (index: number): string => `/simulated/${index}`

export function driverOf(nodes: readonly SimulatedNode[], process?: SimulatedProcess): NodeDriver {
  return {
    probe: () => Promise.reject(new Error('simulated nodes are not probed')),
    open(settings) {
      const index = nodes.findIndex((_, i) => settings.driver === 'directory' && settings.path === pathOf(i))
      const node = nodes[index]
      return node ? Promise.resolve(node.open(process)) : Promise.reject(new Error('there is no such node'))
    },
  }
}

/** The vault's code on what a process reaches; without a process: somebody outside, whom no fault of the catalog or death meets. */
export function portsOf(parts: VaultParts, clock: Clock, log: Log, process?: SimulatedProcess) {
  const catalog = process ? process.catalog(parts.catalog) : parts.catalog
  const keyring = process ? process.port('keyring', parts.keys.keyring) : parts.keys.keyring
  const pool = new CatalogNodePool({
    installation: catalog.installation,
    installationId: INSTALLATION,
    atRest: keyring,
    driver: driverOf(parts.nodes, process),
    clock,
  })
  return {
    ...{ catalog, keyring, pool, engine, clock, log, tools, random: parts.random, primitives: nodePrimitives },
    ...{
      installationId: INSTALLATION,
      atRest: keyring,
      suite: 1 as const,
      padding: parts.padding,
      location: () => 'simulated',
    },
    ...{
      layout: catalog.layout,
      recordings: catalog.recordings,
      installation: catalog.installation,
      links: catalog.links,
    },
    signer: shareSigner(keyring),
  }
}

export interface Running {
  readonly process: SimulatedProcess
  readonly reader: VaultReader
  readonly intake: Intake
  readonly uploads: SimulatedUploads
}

/** Starts the vault's own code in a process, as src/main/vault.ts does for each group. */
export function startProcess(kind: Kind, process: SimulatedProcess, parts: VaultParts): Running {
  const ports = portsOf(parts, process.clock, process.log, process)
  const queue = parts.queue.open(process)
  const reader = createVaultReader({ ...ports, log: findingLog(ports) })
  const announce = announcer({ queue, log: process.log })
  const intake = createIntake({ ...ports, announce: (work) => announce({ ...work, fence: 0 }, 0) })
  const spool = parts.spool.open(process)
  if (kind === 'worker') {
    const table = queueTable({
      ...ports,
      reader,
      media: process.port('media', parts.media),
      sources: sourcesOf(process.port('sources', parts.sources), sourceAccess(ports.catalog, spool, process.clock)),
      issueReceipt: async ({ scheme, ...facts }) => {
        const { signing, epoch } = await ports.keyring.publicKeys(facts.organisation)
        return await issueReceipt({
          facts: { ...facts, ...scheme, installation: INSTALLATION },
          signing,
          sign: (message) => ports.keyring.sign(facts.organisation, epoch, 'mosaik/v1/receipt', message),
          primitives: nodePrimitives,
        })
      },
    })
    startWorkers({ ...ports, queue }, table, ['store', 'transcode', 'release'])
  }
  if (kind === 'upkeep') {
    startUpkeep({ ...ports, spool }, { vault: true, spool: false, watch: true })
    startHealthUpkeep({ ...ports, scrubPeriodMs: SCRUB_PERIOD_MS })
    startRewrapUpkeep(ports)
  }
  const uploads = new SimulatedUploads({ ...ports, uploads: ports.catalog.uploads, spool, intake })
  return { process, reader, intake, uploads }
}

/** Files are the world's, uploads are read and let go of by the vault's own code. */
function sourcesOf(files: SourceAccess, uploads: SourceAccess): SourceAccess {
  const of = ({ kind }: WorkInput): SourceAccess => (kind === 'upload' ? uploads : files)
  return {
    open: (input) => of(input).open(input),
    release: (input, recording) => of(input).release(input, recording),
  }
}
