import type { Transaction } from 'kysely'
import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { AttemptRow, GenerationRow, LayoutCatalog } from '../../ports/catalog/layout.ts'
import type { Fence } from '../../ports/catalog/recordings.ts'
import type { Database } from './database.ts'
import { unknownRecording } from './errors.ts'
import { holdFence } from './fence.ts'
import { fromJson, toBytes, toBytesOrNull } from './json.ts'
import { changeRecording, keepReceipt } from './recordings.ts'
import type { NewRow, Row, Tables } from './schema.ts'

/** Ids of one `in (…)`. */
const maxIds = 500

/** Attempts at storing an asset, and the generations of a manifest that name them. */
export function attemptsAndGenerations(
  database: Database,
): Pick<
  LayoutCatalog,
  'addAttempt' | 'attempt' | 'failWriting' | 'reserveGeneration' | 'commitGeneration' | 'generation'
> {
  return {
    async addAttempt(attempt, fence) {
      await database.transaction('add an attempt', async (trx) => {
        await holdFence(database, trx, fence)
        await trx.insertInto('attempts').values(newAttempt(attempt)).execute()
      })
    },

    async attempt(id) {
      const row = await database.run('read an attempt', (db) =>
        db.selectFrom('attempts').selectAll().where('id', '=', id).executeTakeFirst(),
      )
      return row && toAttempt(row)
    },

    async failWriting(recording, fence) {
      await database.transaction('give attempts up', async (trx) => {
        await holdFence(database, trx, fence)
        const given = await trx
          .updateTable('attempts')
          .set({ state: 'failed' })
          .where('recording', '=', recording)
          .where('state', '=', 'writing')
          .returning('id')
          .execute()
        await endObjects(
          trx,
          given.map((attempt) => attempt.id),
          'failed',
          database.nowMs(),
        )
        const { generation: stored } = await lockRecording(database, trx, recording)
        await abandonReserved(trx, recording)
        await trx
          .updateTable('objects')
          .set({ state: 'failed', changed_at_ms: database.nowMs() })
          .where('recording', '=', recording)
          .where('generation', '>', stored)
          .where('kind', '=', 'manifest')
          .where('state', 'in', ['intent', 'stored'])
          .execute()
      })
    },

    async reserveGeneration(recording, expectedStored, fence) {
      return await database.transaction('reserve a generation', async (trx) => {
        await holdWork(database, trx, recording, fence)
        const { generation: stored } = await lockRecording(database, trx, recording)
        if (stored !== expectedStored) {
          throw new MosaikError(
            'E_CONFLICT',
            `generation ${stored} is stored and ${expectedStored} was expected: read the manifest again`,
            { recording, stored, expected: expectedStored },
          )
        }
        const { highest } = await trx
          .selectFrom('generations')
          .select((eb) => eb.fn.max<number | null>('generation').as('highest'))
          .where('recording', '=', recording)
          .executeTakeFirstOrThrow()
        const generation = Math.max(stored, highest ?? 0) + 1
        // Whoever reserved before built on the same generation: only the last one may commit, or a change is lost.
        await abandonReserved(trx, recording)
        await trx
          .insertInto('generations')
          .values({ recording, generation, state: 'reserved', sharing: null, sealed_sha256: null, epoch: 0 })
          .execute()
        return generation
      })
    },

    async commitGeneration(commit, fence) {
      await database.transaction('commit a generation', async (trx) => {
        await holdWork(database, trx, commit.recording, fence)
        const { organisation } = await lockRecording(database, trx, commit.recording)
        if (!(await storeGeneration(trx, commit))) return
        await requireEpoch(database, trx, organisation, commit.epoch)
        for (const attempt of commit.attempts) {
          const { numUpdatedRows } = await trx
            .updateTable('attempts')
            .set({ state: 'stored', sealed_bytes: attempt.sealedBytes })
            .where('id', '=', attempt.id)
            .where('recording', '=', commit.recording)
            .where('state', 'in', ['writing', 'stored'])
            .executeTakeFirstOrThrow()
          if (numUpdatedRows === 0n) {
            throw new MosaikError('E_CONFLICT', `attempt ${attempt.id} was given up: a manifest must not name it`, {
              recording: commit.recording,
              attempt: attempt.id,
            })
          }
        }
        for (let i = 0; i < commit.supersede.length; i += maxIds) {
          await trx
            .updateTable('attempts')
            .set({ state: 'superseded' })
            .where('id', 'in', commit.supersede.slice(i, i + maxIds))
            .where('recording', '=', commit.recording)
            .execute()
        }
        await endObjects(trx, commit.supersede, 'superseded', commit.atMs)
        // An `intent` of an earlier generation too: whoever still writes it finds that it is not wanted any more.
        await trx
          .updateTable('objects')
          .set({ state: 'superseded', changed_at_ms: commit.atMs })
          .where('recording', '=', commit.recording)
          .where('generation', '<', commit.generation)
          .where('kind', '=', 'manifest')
          .where('state', 'in', ['intent', 'stored'])
          .execute()
        const { receipt, change, generation, atMs } = commit
        await changeRecording(trx, commit.recording, { ...change, generation }, atMs)
        if (receipt) await keepReceipt(trx, commit.recording, receipt, atMs)
      })
    },

    async generation(recording, generation) {
      const row = await database.run('read a generation', (db) =>
        db
          .selectFrom('generations')
          .selectAll()
          .where('recording', '=', recording)
          .where('generation', '=', generation)
          .executeTakeFirst(),
      )
      return row && toGeneration(row)
    },
  }
}

/** Holds the caller's work; without one, keeps everybody else from beginning any on the recording until the transaction ends. */
async function holdWork(
  database: Database,
  trx: Transaction<Tables>,
  recording: Id,
  fence: Fence | undefined,
): Promise<void> {
  if (fence) {
    await holdFence(database, trx, fence)
    return
  }
  const unfinished = await trx
    .selectFrom('work')
    .select('state')
    .where('recording', '=', recording)
    .where('state', 'in', ['pending', 'running'])
    .orderBy('id')
    .$if(database.dialect === 'postgres', (query) => query.forNoKeyUpdate())
    .execute()
  if (unfinished.some(({ state }) => state === 'running')) {
    throw new MosaikError('E_CONFLICT', 'somebody works on the recording and will write its manifest', { recording })
  }
}

/** @throws E_CONFLICT when manifests of the epoch are no longer taken: its key is about to be destroyed. */
async function requireEpoch(
  database: Database,
  trx: Transaction<Tables>,
  organisation: Id,
  epoch: number,
): Promise<void> {
  const row = await trx
    .selectFrom('organisations')
    .select('least_epoch')
    .where('id', '=', organisation)
    // Whoever retires the epoch waits for this commit, and then counts it.
    .$if(database.dialect === 'postgres', (query) => query.forShare())
    .executeTakeFirst()
  if (row && epoch < row.least_epoch) {
    throw new MosaikError('E_CONFLICT', `the manifest is sealed to the vault key of epoch ${epoch}, which is over`, {
      organisation,
      epoch,
    })
  }
}

/** Stored generation and owner of the recording, which nobody else changes until the transaction ends. */
export async function lockRecording(
  database: Database,
  trx: Transaction<Tables>,
  recording: Id,
): Promise<{ readonly generation: number; readonly organisation: Id }> {
  const row = await trx
    .selectFrom('recordings')
    .select(['generation', 'organisation'])
    .where('id', '=', recording)
    .$if(database.dialect === 'postgres', (query) => query.forNoKeyUpdate())
    .executeTakeFirst()
  if (!row) throw unknownRecording(recording)
  return row
}

/** Whoever reserved a generation may not commit it any more. */
async function abandonReserved(trx: Transaction<Tables>, recording: Id): Promise<void> {
  await trx
    .updateTable('generations')
    .set({ state: 'abandoned' })
    .where('recording', '=', recording)
    .where('state', '=', 'reserved')
    .execute()
}

/** reserved → stored. False when this very commit was made before. @throws E_CONFLICT when another reservation came after. */
async function storeGeneration(
  trx: Transaction<Tables>,
  commit: Parameters<LayoutCatalog['commitGeneration']>[0],
): Promise<boolean> {
  const { recording, generation, sharing, sealedSha256, epoch } = commit
  const { numUpdatedRows } = await trx
    .updateTable('generations')
    .set({ state: 'stored', sharing, sealed_sha256: sealedSha256, epoch })
    .where('recording', '=', recording)
    .where('generation', '=', generation)
    .where('state', '=', 'reserved')
    .executeTakeFirstOrThrow()
  if (numUpdatedRows > 0n) return true
  const present = await trx
    .selectFrom('generations')
    .selectAll()
    .where('recording', '=', recording)
    .where('generation', '=', generation)
    .executeTakeFirst()
  const same =
    present?.state === 'stored' &&
    present.sharing === sharing &&
    present.sealed_sha256 !== null &&
    Buffer.compare(present.sealed_sha256, sealedSha256) === 0
  if (same) return false
  throw new MosaikError(
    'E_CONFLICT',
    `generation ${generation} cannot be stored, it is ${present?.state ?? 'not reserved'}: read the manifest again`,
    { recording, generation, present: present?.state ?? null },
  )
}

/** The fragments of the attempts that are not ended yet, of every sharing, become the collector's. */
async function endObjects(
  trx: Transaction<Tables>,
  attempts: readonly Id[],
  state: 'failed' | 'superseded',
  atMs: number,
): Promise<void> {
  for (let i = 0; i < attempts.length; i += maxIds) {
    await trx
      .updateTable('objects')
      .set({ state, changed_at_ms: atMs })
      .where('attempt', 'in', attempts.slice(i, i + maxIds))
      .where('state', 'in', ['intent', 'stored'])
      .execute()
  }
}

export function newAttempt(attempt: AttemptRow): NewRow<'attempts'> {
  return {
    id: attempt.id,
    organisation: attempt.organisation,
    recording: attempt.recording,
    asset: attempt.asset,
    kind: attempt.kind,
    state: attempt.state,
    wrapped_verify_key: attempt.wrappedVerifyKey,
    sealed_bytes: attempt.sealedBytes,
    scheme: JSON.stringify(attempt.scheme),
  }
}

/** The row as the port shows it. */
export function toAttempt(row: Row<'attempts'>): AttemptRow {
  return {
    id: row.id,
    organisation: row.organisation,
    recording: row.recording,
    asset: row.asset,
    kind: row.kind as AttemptRow['kind'],
    state: row.state as AttemptRow['state'],
    wrappedVerifyKey: toBytes(row.wrapped_verify_key),
    sealedBytes: row.sealed_bytes,
    scheme: fromJson(row.scheme),
  }
}

/** The row as the port shows it. */
export function toGeneration(row: Row<'generations'>): GenerationRow {
  return {
    recording: row.recording,
    generation: row.generation,
    state: row.state as GenerationRow['state'],
    sharing: row.sharing,
    sealedSha256: toBytesOrNull(row.sealed_sha256),
    epoch: row.epoch,
  }
}
