import { sql, type RawBuilder, type Transaction } from 'kysely'
import { MosaikError } from '../../domain/errors.ts'
import type { LayoutCatalog, SharingCommit } from '../../ports/catalog/layout.ts'
import { lockRecording } from './attempts.ts'
import type { Database } from './database.ts'
import { setState } from './objects.ts'
import type { Tables } from './schema.ts'

/** Sharings that take the place of others, and schemes that change. */
export function sharingCatalog(
  database: Database,
): Pick<LayoutCatalog, 'commitShare' | 'commitSharing' | 'abandonSharing' | 'setScheme' | 'nodeShares'> {
  return {
    async commitShare({ node, key, sizeBytes }, task) {
      await database.transaction('put a share in the place of another', async (trx) => {
        await holdTask(database, trx, task)
        await setState(trx, node, key, 'stored', sizeBytes, database.nowMs())
      })
    },

    async commitSharing(commit, task) {
      await database.transaction('put a sharing in the place of another', async (trx) => {
        await holdTask(database, trx, task)
        await lockRecording(database, trx, commit.recording)
        await holdStanding(trx, commit)
        for (const { node, key, sizeBytes } of commit.stored) {
          const { numUpdatedRows } = await trx
            .updateTable('objects')
            .set({ state: 'stored', size_bytes: sizeBytes, changed_at_ms: commit.atMs })
            .where('node', '=', node)
            .where('key', '=', key)
            .where('sharing', '=', commit.sharing)
            .where('state', '=', 'intent')
            .executeTakeFirstOrThrow()
          if (numUpdatedRows === 0n) throw conflict(commit, `object ${key} of the new one was given up`)
        }
        await failIntents(trx, commit.sharing, commit.atMs)
        await ofPart(trx, commit)
          .set({ state: 'superseded', changed_at_ms: commit.atMs })
          .where('sharing', '<>', commit.sharing)
          .where('state', 'in', ['intent', 'stored'])
          .execute()
        if (commit.part.kind === 'fragment') return
        await trx
          .updateTable('generations')
          .set({ sharing: commit.sharing })
          .where('recording', '=', commit.recording)
          .where('generation', '=', commit.part.generation)
          .execute()
      })
    },

    async abandonSharing(sharing) {
      await database.transaction('give a sharing up', (trx) => failIntents(trx, sharing, database.nowMs()))
    },

    async setScheme({ organisation, recording }, scheme, atMs) {
      const text = JSON.stringify(scheme)
      return await database.transaction('change the scheme of recordings', async (trx) => {
        // Shares of manifests whose rows do not say it are read by the recording's scheme: they say it from now on.
        await trx
          .updateTable('objects')
          .set((eb) => ({
            scheme: eb
              .selectFrom('recordings')
              .select('recordings.scheme')
              .whereRef('recordings.id', '=', 'objects.recording')
              .$asScalar(),
          }))
          .where('kind', '=', 'manifest')
          .where('scheme', 'is', null)
          .where('state', '<>', 'deleted')
          .where(({ eb, selectFrom }) =>
            recording === undefined
              ? eb('recording', 'in', selectFrom('recordings').select('id').where('organisation', '=', organisation))
              : eb('recording', '=', recording),
          )
          .execute()
        const { numUpdatedRows } = await trx
          .updateTable('recordings')
          .set({ scheme: text, updated_at_ms: atMs })
          .where('organisation', '=', organisation)
          .where('scheme', '<>', text)
          .$if(recording !== undefined, (query) => query.where('id', '=', recording as string))
          .executeTakeFirstOrThrow()
        return Number(numUpdatedRows)
      })
    },

    async nodeShares(node) {
      const stands = sql<boolean>`exists (select 1 from objects as standing
        where standing.sharing = objects.sharing and standing.state = 'stored')`
      const rows = await database.run('count what a node has to do with what stands', (db) =>
        db
          .selectFrom('objects')
          .select([
            'organisation',
            sql<number>`sum(case when state = 'stored' then 1 else 0 end)`.as('objects'),
            sql<number>`sum(case when state = 'stored' then size_bytes else 0 end)`.as('bytes'),
            sql<number>`count(distinct case when ${stands} then sharing end)`.as('sharings'),
            sql<number>`sum(case when ${stands} then size_bytes else 0 end)`.as('exposed'),
            sql<number>`sum(case when state <> 'deleted' then 1 else 0 end)`.as('undeleted'),
          ])
          .where('node', '=', node)
          .where('kind', '<>', 'card')
          .groupBy('organisation')
          .execute(),
      )
      const sum = (count: (row: (typeof rows)[number]) => number | null): number =>
        rows.reduce((total, row) => total + Number(count(row) ?? 0), 0)
      return {
        objectsCount: sum(({ objects }) => objects),
        bytes: sum(({ bytes }) => bytes),
        exposedSharings: sum(({ sharings }) => sharings),
        exposedBytes: sum(({ exposed }) => exposed),
        undeletedObjects: sum(({ undeleted }) => undeleted),
        organisations: rows
          .filter(({ objects, sharings }) => Number(objects) > 0 || Number(sharings) > 0)
          .map(({ organisation }) => organisation),
      }
    },
  }
}

/**
 * Of a row that is an intent: repair is at work, and it is of something that stands, so that nobody else can be writing it. What such a one
 * leaves behind, the next repair of the same thing gives up.
 */
export function isMadeByRepair(nowMs: number): RawBuilder<boolean> {
  return sql<boolean>`(
    exists (select 1 from upkeep_tasks where name = 'repair' and lease_until_ms > ${nowMs})
    and (
      exists (select 1 from attempts where attempts.id = objects.attempt and attempts.state = 'stored')
      or exists (select 1 from generations where generations.recording = objects.recording
        and generations.generation = objects.generation and generations.state = 'stored')))`
}

/** Begins a transaction of a long task. Until it ends nobody else takes the task. @throws E_LEASE_LOST */
async function holdTask(
  database: Database,
  trx: Transaction<Tables>,
  { name, fence }: { readonly name: string; readonly fence: number },
): Promise<void> {
  const held = await trx
    .selectFrom('upkeep_tasks')
    .select('name')
    .where('name', '=', name)
    .where('fence', '=', fence)
    .$if(database.dialect === 'postgres', (query) => query.forNoKeyUpdate())
    .executeTakeFirst()
  if (!held)
    throw new MosaikError('E_LEASE_LOST', `another process goes on with the upkeep task ${name}`, { name, fence })
}

/** @throws E_CONFLICT when the old sharing does not stand: superseded, or shared anew by somebody else. */
async function holdStanding(trx: Transaction<Tables>, commit: SharingCommit): Promise<void> {
  const { part, recording, before } = commit
  if (part.kind === 'manifest') {
    const row = await trx
      .selectFrom('generations')
      .innerJoin('recordings', (join) =>
        join
          .onRef('recordings.id', '=', 'generations.recording')
          .onRef('recordings.generation', '=', 'generations.generation'),
      )
      .select('generations.sharing as sharing')
      .where('generations.recording', '=', recording)
      .where('generations.generation', '=', part.generation)
      .where('generations.state', '=', 'stored')
      .executeTakeFirst()
    if (row?.sharing !== before) throw conflict(commit, `generation ${part.generation} does not stand as it did`)
    return
  }
  const row = await trx
    .selectFrom('objects')
    .innerJoin('attempts', 'attempts.id', 'objects.attempt')
    .select('objects.key as key')
    .where('objects.attempt', '=', part.attempt)
    .where('objects.extent', '=', part.extent)
    .where('objects.sharing', '=', before)
    .where('objects.state', '=', 'stored')
    .where('attempts.state', '=', 'stored')
    .limit(1)
    .executeTakeFirst()
  if (!row) throw conflict(commit, `extent ${part.extent} of attempt ${part.attempt} does not stand as it did`)
}

function ofPart(trx: Transaction<Tables>, { recording, part }: SharingCommit) {
  const rows = trx.updateTable('objects').where('recording', '=', recording).where('kind', '=', part.kind)
  return part.kind === 'manifest'
    ? rows.where('generation', '=', part.generation)
    : rows.where('attempt', '=', part.attempt).where('extent', '=', part.extent)
}

async function failIntents(trx: Transaction<Tables>, sharing: string, atMs: number): Promise<void> {
  await trx
    .updateTable('objects')
    .set({ state: 'failed', changed_at_ms: atMs })
    .where('sharing', '=', sharing)
    .where('state', '=', 'intent')
    .execute()
}

function conflict({ recording, before, sharing }: SharingCommit, what: string): MosaikError {
  return new MosaikError('E_CONFLICT', `sharing ${sharing} does not take the place of ${before}: ${what}`, {
    recording,
    before,
    sharing,
  })
}
