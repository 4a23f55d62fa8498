import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import { openFileKeyring } from '../../src/adapters/file-keyring/file-keyring.ts'
import type { FileKeyring } from '../../src/adapters/file-keyring/opened-keyring.ts'
import { nodePrimitives } from '../../src/adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../src/adapters/node-system.ts'
import { createNodeDriver } from '../../src/adapters/open-store.ts'
import { createCodecTools } from '../../src/adapters/segment-engine/codec-tools.ts'
import { createInlineEngine } from '../../src/adapters/segment-engine/inline-engine.ts'
import { openPostgresCatalog } from '../../src/adapters/sql-catalog/open.ts'
import type { Id } from '../../src/domain/ids.ts'
import { CatalogNodePool } from '../../src/main/node-pool.ts'
import { shareSigner } from '../../src/main/share-signer.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import type { SurveyedRecording } from '../../src/ports/catalog/upkeep.ts'
import type { Clock } from '../../src/ports/system.ts'
import { createVaultReader } from '../../src/retrieve/open-recording.ts'
import { collect } from '../../src/upkeep/blind/collect.ts'
import { fsck } from '../../src/upkeep/blind/fsck.ts'
import { repair } from '../../src/upkeep/blind/repair.ts'
import { scrub } from '../../src/upkeep/blind/scrub.ts'
import { survey } from '../../src/upkeep/blind/survey.ts'
import { rawClient } from '../support/services/buckets.ts'
import { PASSPHRASE, type Cluster } from './cluster.ts'
import type { Deposit } from './client.ts'

const HOUR_MS = 3_600_000
const REPAIR_ROUNDS = 5
const UNLIMITED = { bytesPerSecond: Infinity }
/** What does not hold, each with its words. */
export interface Verdict {
  readonly lost: string[]
  readonly duplicates: string[]
  readonly orphans: string[]
  readonly otherViolations: string[]
  /** Keys of recordings, which may lie on no disk. */
  readonly keys: ReadonlyMap<string, Buffer>
}

/** Holds everything against its promises, once nothing runs any more and all servers are back. Collects and repairs first, as days would. */
export async function judge(cluster: Cluster, deposits: readonly Deposit[]): Promise<Verdict> {
  const verdict: Verdict = { lost: [], duplicates: [], orphans: [], otherViolations: [], keys: new Map() }
  const clock = aheadClock()
  const catalog = openPostgresCatalog(cluster.databaseUrl, clock)
  const keyring = await openFileKeyring({
    folder: cluster.environment['MOSAIK_DATA'] ?? '',
    passphrase: PASSPHRASE,
    ...{ clock: nodeClock, random: nodeRandom(), primitives: nodePrimitives },
    record: () => Promise.resolve(),
    unwrapsPerMinute: Infinity,
  })
  const ports = await portsOf(catalog, keyring, clock)
  try {
    const surveyed = await surveyAll(catalog)
    judgeDeposits(surveyed, deposits, verdict)
    await judgeWork(catalog, surveyed, verdict)
    await mend(ports, clock, catalog)
    await judgeVault(cluster, ports, verdict)
    await gatherKeys(ports, surveyed, verdict.keys as Map<string, Buffer>)
  } finally {
    await ports.pool.close()
    await catalog.close()
    keyring.close()
  }
  return verdict
}

type Ports = Awaited<ReturnType<typeof portsOf>>

async function portsOf(catalog: Catalog, keyring: FileKeyring, clock: Clock) {
  const random = nodeRandom()
  const pool = new CatalogNodePool({
    installation: catalog.installation,
    installationId: await catalog.installation.installation('0'.repeat(32)),
    atRest: keyring,
    driver: createNodeDriver({ clock: nodeClock, random }),
    clock: nodeClock,
  })
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  return {
    ...{ catalog, keyring, pool, random, log, clock, primitives: nodePrimitives, atRest: keyring },
    ...{ tools: createCodecTools(), engine: createInlineEngine() },
    // Its clock goes with ours.
    layout: { ...catalog.layout, nowMs: () => Promise.resolve(clock.nowMs()) },
    ...{ recordings: catalog.recordings, installation: catalog.installation },
    signer: shareSigner(keyring),
  }
}

/** A clock that can be put forward: what takes hours is judged in seconds. */
function aheadClock(): Clock & { aheadMs: number } {
  const clock = {
    aheadMs: 0,
    nowMs: () => nodeClock.nowMs() + clock.aheadMs,
    monotonicMs: () => nodeClock.monotonicMs() + clock.aheadMs,
    sleep: (delayMs: number, signal?: AbortSignal) => nodeClock.sleep(delayMs, signal),
  }
  return clock
}

async function surveyAll(catalog: Catalog): Promise<SurveyedRecording[]> {
  const all: SurveyedRecording[] = []
  let page = await catalog.upkeep.survey(undefined, 100)
  while (page.length > 0) {
    all.push(...page)
    page = await catalog.upkeep.survey(page.at(-1)?.recording.id, 100)
  }
  return all
}

function judgeDeposits(surveyed: readonly SurveyedRecording[], deposits: readonly Deposit[], verdict: Verdict): void {
  for (const { externalId, acknowledged, isPlayable } of deposits) {
    const made = surveyed.filter(({ recording }) => recording.externalId === externalId)
    if (made.length > 1) verdict.duplicates.push(`${externalId} is ${made.length} recordings`)
    if (acknowledged.size > 1) verdict.duplicates.push(`${externalId} was acknowledged as ${[...acknowledged].join()}`)
    for (const id of acknowledged) {
      const recording = made.find((one) => one.recording.id === id)?.recording
      const due = isPlayable ? 'ready' : 'unplayable'
      if (recording?.state === due) continue
      const reason = recording?.reason ? `: ${recording.reason.code} ${recording.reason.message}` : ''
      verdict.lost.push(`${externalId} was acknowledged as ${id}, which is ${recording?.state ?? 'not there'}${reason}`)
    }
  }
}

async function judgeWork(catalog: Catalog, surveyed: readonly SurveyedRecording[], verdict: Verdict): Promise<void> {
  for (const { recording } of surveyed) {
    const stages = (await catalog.work.ofRecording(recording.id)).map(({ stage }) => stage)
    if (new Set(stages).size < stages.length) verdict.duplicates.push(`work of ${recording.id}: ${stages.join()}`)
  }
}

async function mend(ports: Ports, clock: { aheadMs: number }, catalog: Catalog): Promise<void> {
  const { signal } = new AbortController()
  for (let round = 0; round < REPAIR_ROUNDS; round++) {
    clock.aheadMs += 7 * HOUR_MS
    await survey(ports, signal)
    await scrub(ports, UNLIMITED, signal)
    await repair(ports, UNLIMITED, signal)
    if ((await catalog.upkeep.backlog()).length === 0) break
  }
  // Twice: the first time gives up what nobody works on, the second time deletes it.
  for (let round = 0; round < 2; round++) {
    clock.aheadMs += 2 * HOUR_MS
    await collect(ports, signal)
  }
}

const LOST = new Set(['fragments-too-few', 'manifest-shares-too-few', 'receipt-missing'])
const DUPLICATE = new Set(['attempts-two-live', 'share-twice', 'node-holds-two'])
const ORPHAN = new Set(['orphan-object', 'deleted-object-present', 'upload-leftover'])
/** The processes were killed: a state may lack a share until the next one, minutes later. */
const EXCUSED = new Set(['state-shares-degraded', 'card-missing'])

async function judgeVault(cluster: Cluster, ports: Ports, verdict: Verdict): Promise<void> {
  const leftovers = (node: Id): Promise<string[]> => unfinishedUploads(cluster, ports.catalog, node)
  const report = await fsck({ ...ports, leftovers }, new AbortController().signal)
  for (const { name, detail, object } of report.violations) {
    const words = `${name}: ${detail} ${object ?? ''}`
    if (LOST.has(name)) verdict.lost.push(words)
    else if (DUPLICATE.has(name)) verdict.duplicates.push(words)
    else if (ORPHAN.has(name)) verdict.orphans.push(words)
    else if (!EXCUSED.has(name)) verdict.otherViolations.push(words)
  }
  for (const { name, code } of report.unreachable)
    verdict.otherViolations.push(`node ${name} was not looked at: ${code}`)
  for (const { key, state } of await ports.layout.collectable(Number.MAX_SAFE_INTEGER, 1000)) {
    verdict.orphans.push(`${key} is ${state} and was not collected`)
  }
}

/** Multipart uploads that a bucket still keeps. */
async function unfinishedUploads(cluster: Cluster, catalog: Catalog, id: Id): Promise<string[]> {
  const row = await catalog.installation.node(id)
  const node = cluster.nodes.find(({ endpoint }) => endpoint === row?.settings['endpoint'])
  if (!row || !node) return []
  const client = rawClient(node)
  try {
    const { Uploads = [] } = await client.send(
      new ListMultipartUploadsCommand({ Bucket: String(row.settings['bucket']) }),
    )
    return Uploads.map(({ Key = '' }) => Key)
  } finally {
    client.destroy()
  }
}

async function gatherKeys(
  ports: Ports,
  surveyed: readonly SurveyedRecording[],
  keys: Map<string, Buffer>,
): Promise<void> {
  const reader = createVaultReader(ports)
  const { signal } = new AbortController()
  for (const { recording } of surveyed.filter((one) => one.recording.generation > 0)) {
    const { manifest } = await reader.open(recording.organisation, recording.id, 'play', signal)
    keys.set(`salt of ${recording.id}`, Buffer.from(manifest.salt))
    for (const { kind, sealed } of manifest.assets) {
      if (!sealed) continue
      keys.set(`DEK of ${kind} of ${recording.id}`, Buffer.from(sealed.dek))
      for (const key of sealed.verifyKeys) keys.set(`verify key of ${kind} of ${recording.id}`, Buffer.from(key))
    }
  }
}
