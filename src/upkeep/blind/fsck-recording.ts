import { findSigner } from '../../crypto/keys.ts'
import { verifyPair } from '../../crypto/signature.ts'
import { sameScheme, schemeWords, type Scheme } from '../../domain/dispersal.ts'
import { isMosaikError } from '../../domain/errors.ts'
import { neededShares, placementViolations, shareHealth } from '../../domain/health.ts'
import type { Id } from '../../domain/ids.ts'
import { acceptsReads, type StorageNode } from '../../domain/node.ts'
import { isSafe } from '../../domain/recording.ts'
import { extentCount, fragmentLength } from '../../format/fragment-header.ts'
import { decodeReceipt, RECEIPT_CONTEXT } from '../../format/receipt.ts'
import type { AttemptRow, ObjectRow } from '../../ports/catalog/layout.ts'
import type { SurveyedRecording } from '../../ports/catalog/upkeep.ts'
import type { FsckPorts, Note } from './fsck-report.ts'
import { signersOf } from '../../retrieve/signers.ts'

export interface RecordingView {
  readonly nodes: readonly StorageNode[]
  /** Objects that were found wrong on their node. */
  readonly bad: ReadonlySet<string>
  readonly graceMs: number
}

/** Tells objects of all nodes apart. */
export function nameOf({ node, key }: Pick<ObjectRow, 'node' | 'key'>): string {
  return `${node}/${key}`
}

/** What the catalog says of one recording: does it hold, and does it agree with itself? */
export async function checkRecording(
  ports: FsckPorts,
  one: SurveyedRecording,
  view: RecordingView,
  note: Note,
): Promise<void> {
  const nowMs = ports.clock.nowMs()
  const isOld = (atMs: number): boolean => nowMs - atMs > view.graceMs
  const recording = one.recording.id
  const readable = new Set(view.nodes.filter(acceptsReads).map(({ id }) => id))
  const isGood = (row: ObjectRow): boolean =>
    row.state === 'stored' && readable.has(row.node) && !view.bad.has(nameOf(row))

  for (const row of one.objects) {
    if (row.state !== 'intent' || one.hasRunningWork || !isOld(row.createdAtMs)) continue
    const detail = `the row of ${row.role.kind} share ${row.index} is an intent and nobody works on it`
    note('intent-abandoned', detail, { node: row.node, object: row.key, recording })
  }
  checkAttempts(one, isOld, note)
  checkGenerations(one, isOld, note)
  if (isSafe(one.recording.state)) {
    await checkReceipt(ports, one, note)
    for (const attempt of one.attempts) if (attempt.state === 'stored') checkExtents(attempt, one.objects, isGood, note)
    checkManifest(one, isGood, note)
  }
  await checkPlacement(ports, one, view.nodes, note)
}

function checkAttempts(
  { recording, attempts, objects, hasRunningWork }: SurveyedRecording,
  isOld: (atMs: number) => boolean,
  note: Note,
): void {
  const where = { recording: recording.id }
  for (const attempt of attempts) {
    if (attempt.state === 'stored' && recording.generation === 0) {
      note('attempt-without-generation', `attempt ${attempt.id} is stored and no manifest generation is`, where)
    }
    if (attempt.state === 'stored' && attempt.sealedBytes === null) {
      note('attempt-without-generation', `attempt ${attempt.id} is stored and its length is not known`, where)
    }
    if (attempt.state !== 'writing' || hasRunningWork) continue
    const newestMs = Math.max(
      recording.updatedAtMs,
      ...objects.filter((row) => isOf(row, attempt.id)).map((row) => row.createdAtMs),
    )
    if (isOld(newestMs))
      note('attempt-abandoned', `attempt ${attempt.id} is being written and nobody works on it`, where)
  }
  const live = attempts.filter(({ state }) => state === 'stored' || state === 'writing')
  for (const [key, same] of Map.groupBy(live, ({ asset, state }) => `${asset} ${state}`)) {
    if (same.length > 1) {
      const [asset = '', state = ''] = key.split(' ')
      note('attempts-two-live', `${same.length} attempts of asset ${asset} are ${state}`, where)
    }
  }
}

function checkGenerations(
  { recording, generations, objects, hasRunningWork }: SurveyedRecording,
  isOld: (atMs: number) => boolean,
  note: Note,
): void {
  const where = { recording: recording.id }
  const stored = generations.filter(({ state }) => state === 'stored')
  const newest = Math.max(0, ...stored.map(({ generation }) => generation))
  if (newest !== recording.generation) {
    note(
      'generation-order',
      `the recording is at generation ${recording.generation} and ${newest} is the last stored one`,
      where,
    )
  }
  const reserved = generations.filter(({ state }) => state === 'reserved')
  if (reserved.length > 1) note('generation-order', `${reserved.length} generations are reserved at once`, where)
  for (const { generation } of reserved) {
    if (generation <= recording.generation) {
      note('generation-order', `generation ${generation} is reserved and ${recording.generation} is stored`, where)
    }
  }
  for (const { generation, sharing, sealedSha256 } of stored) {
    if (sharing === null || sealedSha256 === null) {
      note('generation-incomplete', `generation ${generation} is stored without its sharing or hash`, where)
    }
  }
  for (const row of objects) {
    if (row.state !== 'stored' || row.role.kind !== 'manifest') continue
    const { generation } = row.role
    const place = { ...where, node: row.node, object: row.key }
    if (generation < recording.generation) {
      note(
        'generation-stale',
        `a share of generation ${generation} stands, the recording is at ${recording.generation}`,
        place,
      )
    } else if (generation > recording.generation) {
      if (!hasRunningWork && isOld(row.createdAtMs)) {
        note('generation-stale', `a share of generation ${generation} stands, which was never stored`, place)
      }
    } else if (stored.find((one) => one.generation === generation)?.sharing !== row.sharing) {
      note('generation-mixed', `a share of generation ${generation} is of another sharing`, place)
    }
  }
}

async function checkReceipt(ports: FsckPorts, { recording, receipt }: SurveyedRecording, note: Note): Promise<void> {
  const where = { recording: recording.id }
  if (receipt === undefined) {
    const events = await ports.catalog.recordings.events(recording.id)
    if (events.some(({ kind }) => kind === 'rebuilt')) {
      note('receipt-lost', 'the recording was rebuilt from the nodes, which keep no receipts', where)
    } else note('receipt-missing', `the recording is ${recording.state} and has no receipt`, where)
    return
  }
  try {
    const decoded = decodeReceipt(receipt)
    const { keys } = findSigner(
      await signersOf(
        { installation: ports.catalog.installation, primitives: ports.primitives },
        recording.organisation,
      ),
      decoded.organisation,
      decoded.signer,
    )
    const isSigned = verifyPair(ports.primitives, keys, RECEIPT_CONTEXT, decoded.signedBytes, decoded.signature)
    if (!isSigned) note('receipt-invalid', 'a signature of the receipt does not verify', where)
    else if (decoded.recording !== recording.id)
      note('receipt-invalid', `it is of recording ${decoded.recording}`, where)
  } catch (error) {
    if (!isMosaikError(error)) throw error
    note('receipt-invalid', `${error.code}: ${error.message}`, where)
  }
}

/** Every extent of the attempt has enough good fragments of one sharing, of the length that the format says. */
function checkExtents(
  attempt: AttemptRow,
  objects: readonly ObjectRow[],
  isGood: (row: ObjectRow) => boolean,
  note: Note,
): void {
  if (attempt.sealedBytes === null) return
  const { recording } = attempt
  const count = extentCount(attempt.sealedBytes)
  const rows = objects.filter((row) => row.state === 'stored' && isOf(row, attempt.id))
  for (const row of rows) {
    const extent = row.role.kind === 'fragment' ? row.role.extent : 0
    const place = { recording, node: row.node, object: row.key }
    if (extent >= count) {
      note('extent-unknown', `a fragment of extent ${extent} of attempt ${attempt.id}, which has ${count}`, place)
      continue
    }
    const due = fragmentLength(row.scheme ?? attempt.scheme, attempt.sealedBytes, extent)
    if (row.sizeBytes !== due) note('row-size', `a fragment of ${row.sizeBytes} bytes that should have ${due}`, place)
  }
  for (let extent = 0; extent < count; extent++) {
    const good = rows.filter((row) => row.role.kind === 'fragment' && row.role.extent === extent && isGood(row))
    const best = bestSharing(good, attempt.scheme)
    tooFew('fragments', best, `extent ${extent} of attempt ${attempt.id}`, recording, note)
  }
}

function checkManifest(
  { recording, objects }: SurveyedRecording,
  isGood: (row: ObjectRow) => boolean,
  note: Note,
): void {
  const good = objects.filter(
    (row) => row.role.kind === 'manifest' && row.role.generation === recording.generation && isGood(row),
  )
  const best = bestSharing(good, recording.scheme)
  const what = `generation ${recording.generation} of the manifest`
  tooFew('manifest-shares', best, what, recording.id, note)
}

/** The sharing that may lose the most. @param usual scheme of rows that name none. */
function bestSharing(rows: readonly ObjectRow[], usual: Scheme): { readonly scheme: Scheme; readonly healthy: number } {
  const sharings = [...Map.groupBy(rows, ({ sharing }) => sharing).values()].map((shares) => {
    const scheme = shares[0]?.scheme ?? usual
    const indices = shares.map(({ index }) => index)
    return { scheme, ...shareHealth(scheme, indices) }
  })
  return sharings.toSorted((a, b) => b.slack - a.slack)[0] ?? { scheme: usual, healthy: 0 }
}

function tooFew(
  what: 'fragments' | 'manifest-shares',
  { healthy, scheme }: ReturnType<typeof bestSharing>,
  where: string,
  recording: Id,
  note: Note,
): void {
  if (healthy >= scheme.n) return
  const needed = neededShares(scheme)
  const reach = healthy < scheme.k ? 'it cannot be read' : 'it can be read'
  const detail = `${where} has ${healthy} of ${scheme.n} good shares, ${needed} are promised: ${reach}`
  note(healthy < needed ? `${what}-too-few` : `${what}-degraded`, detail, { recording })
}

/** What stands of each sharing: one share a node, each share once, and nobody with more than the rule lets, past holders counted. */
async function checkPlacement(
  ports: FsckPorts,
  { recording, attempts, objects }: SurveyedRecording,
  nodes: readonly StorageNode[],
  note: Note,
): Promise<void> {
  const live = new Set(attempts.filter(({ state }) => state === 'stored').map(({ id }) => id))
  const standing = objects.filter(
    (row) =>
      row.state === 'stored' &&
      (row.role.kind === 'fragment'
        ? live.has(row.role.attempt)
        : row.role.kind === 'manifest' && row.role.generation === recording.generation),
  )
  const rule = (await ports.catalog.installation.organisation(recording.organisation))?.placementRule ?? 'none'
  const schemes = new Map(attempts.map(({ id, scheme }) => [id, scheme]))
  for (const [sharing, rows] of Map.groupBy(standing, (row) => row.sharing)) {
    if (sharing === null) continue
    const where = { recording: recording.id }
    for (const [node, there] of Map.groupBy(rows, (row) => row.node)) {
      if (new Set(there.map(({ index }) => index)).size > 1) {
        note('node-holds-two', `one node has several shares of sharing ${sharing}`, { ...where, node })
      }
    }
    const places = Map.groupBy(rows, (row) =>
      row.role.kind === 'fragment' ? `${row.role.extent}/${row.index}` : String(row.index),
    )
    for (const [place, copies] of places) {
      if (copies.length > 1)
        note('share-twice', `share ${place} of sharing ${sharing} stands ${copies.length} times`, where)
    }
    const role = rows[0]?.role
    const usual = (role?.kind === 'fragment' && schemes.get(role.attempt)) || recording.scheme
    const scheme = rows[0]?.scheme ?? usual
    if (!sameScheme(scheme, recording.scheme)) {
      const detail = `sharing ${sharing} is ${schemeWords(scheme)} and the recording is to be ${schemeWords(recording.scheme)}`
      note('sharing-outdated', detail, where)
    }
    const exposures = await ports.catalog.layout.exposures(sharing)
    for (const { id, name } of nodes.filter(({ state }) => state === 'dismissed')) {
      if (!exposures.some(({ node }) => node === id)) continue
      note('sharing-exposed', `node ${name} was dismissed and knows a share of sharing ${sharing}`, {
        ...where,
        node: id,
      })
    }
    for (const { owner, name, held, cap } of placementViolations(scheme, rule, exposures)) {
      const detail = `${owner} ${name} holds or held ${held} shares of sharing ${sharing}, and at most ${cap} are allowed`
      note('placement-violated', detail, where)
    }
  }
}

function isOf(row: ObjectRow, attempt: Id): boolean {
  return row.role.kind === 'fragment' && row.role.attempt === attempt
}
