import { sql } from 'kysely'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { Backlog, WorkCatalog, WorkInput, WorkRow, WorkStage } from '../../ports/catalog/recordings.ts'
import type { Database } from './database.ts'
import { unknownRecording } from './errors.ts'
import { holdFence, leaseLost } from './fence.ts'
import { fromJson, fromJsonOrNull } from './json.ts'
import type { NewRow, Row } from './schema.ts'

/** Work: who may do what when. `due_at_ms` is the one column that says so; claim and due read nothing else. */
export function workCatalog(database: Database): WorkCatalog {
  return {
    async get(id) {
      const row = await database.run('read work', (db) =>
        db.selectFrom('work').selectAll().where('id', '=', id).executeTakeFirst(),
      )
      return row && toWork(row)
    },

    async ofRecording(recording) {
      const rows = await database.run('read the work of a recording', (db) =>
        db
          .selectFrom('work')
          .selectAll()
          .where('recording', '=', recording)
          .orderBy('run_at_ms')
          .orderBy('id')
          .execute(),
      )
      return rows.map(toWork)
    },

    async add(work, fence) {
      return await database.transaction('add work', async (trx) => {
        if (fence) await holdFence(database, trx, fence)
        const recording = await trx
          .selectFrom('recordings')
          .select('organisation')
          .where('id', '=', work.recording)
          .executeTakeFirst()
        if (!recording) throw unknownRecording(work.recording)
        const inserted = await trx
          .insertInto('work')
          .values(newWork({ ...work, organisation: recording.organisation }))
          .onConflict((conflict) => conflict.doNothing())
          .returningAll()
          .executeTakeFirst()
        if (inserted) return toWork(inserted)
        const standing = await trx
          .selectFrom('work')
          .selectAll()
          .where('recording', '=', work.recording)
          .where('stage', '=', work.stage)
          .where('state', '<>', sql.lit('failed'))
          .executeTakeFirst()
        if (!standing) {
          throw new MosaikError('E_CONFLICT', `there is work ${work.id} already, and it is another one`, {
            work: work.id,
          })
        }
        return toWork(standing)
      })
    },

    async claim(id, nowMs, leaseMs) {
      const row = await database.run('claim work', (db) =>
        db
          .updateTable('work')
          .set((eb) => ({
            state: 'running',
            fence: eb('fence', '+', 1),
            attempts_count: eb('attempts_count', '+', 1),
            lease_until_ms: nowMs + leaseMs,
            due_at_ms: nowMs + leaseMs,
            done_units: 0,
            total_units: null,
          }))
          .where('id', '=', id)
          .where('due_at_ms', '<=', nowMs)
          .returningAll()
          .executeTakeFirst(),
      )
      return row && toWork(row)
    },

    async renew(fence, nowMs, leaseMs, progress) {
      const { numUpdatedRows } = await database.run('renew a lease', (db) =>
        db
          .updateTable('work')
          .set({
            lease_until_ms: nowMs + leaseMs,
            due_at_ms: nowMs + leaseMs,
            ...(progress ? { done_units: progress.doneUnits, total_units: progress.totalUnits } : {}),
          })
          .where('id', '=', fence.work)
          .where('fence', '=', fence.fence)
          .where('state', '=', 'running')
          .executeTakeFirstOrThrow(),
      )
      if (numUpdatedRows === 0n) throw leaseLost(fence)
    },

    async finish(fence) {
      await database.transaction('finish work', async (trx) => {
        await holdFence(database, trx, fence)
        const { input } = await trx
          .selectFrom('work')
          .select('input')
          .where('id', '=', fence.work)
          .executeTakeFirstOrThrow()
        await trx
          .updateTable('work')
          .set({
            state: 'done',
            lease_until_ms: null,
            due_at_ms: null,
            error: null,
            input: JSON.stringify(withoutPeople(fromJson<WorkInput>(input))),
          })
          .where('id', '=', fence.work)
          .execute()
      })
    },

    async fail(fence, _nowMs, error, runAtMs) {
      const { numUpdatedRows } = await database.run('note that work failed', (db) =>
        db
          .updateTable('work')
          .set({
            state: runAtMs === null ? 'failed' : 'pending',
            lease_until_ms: null,
            due_at_ms: runAtMs,
            error: JSON.stringify({ code: error.code, message: error.message }),
            ...(runAtMs === null ? {} : { run_at_ms: runAtMs }),
          })
          .where('id', '=', fence.work)
          .where('fence', '=', fence.fence)
          .where('state', '=', 'running')
          .executeTakeFirstOrThrow(),
      )
      if (numUpdatedRows === 0n) throw leaseLost(fence)
    },

    async retry(id, nowMs) {
      try {
        await database.run('let failed work run again', (db) =>
          db
            .updateTable('work')
            .set({ state: 'pending', run_at_ms: nowMs, due_at_ms: nowMs, error: null })
            .where('id', '=', id)
            .where('state', '=', 'failed')
            .execute(),
        )
      } catch (error) {
        // the index allows one row of a recording and stage that has not failed
        if (!isMosaikError(error, 'E_CONFLICT')) throw error
        throw new MosaikError('E_CONFLICT', 'there is a later try of this work already', { work: id }, error)
      }
    },

    async due(nowMs, limit) {
      const rows = await database.run('look for work', (db) =>
        db
          .selectFrom('work')
          .selectAll()
          .where('due_at_ms', '<=', nowMs)
          .orderBy('due_at_ms')
          .orderBy('id')
          .limit(limit)
          .execute(),
      )
      return rows.map(toWork)
    },

    async backlog(nowMs) {
      const rows = await database.run('count unfinished work', (db) =>
        db
          .selectFrom('work')
          .select((eb) => [
            'stage',
            eb
              .case()
              .when('due_at_ms', '<=', nowMs)
              .then(sql.lit('due'))
              .when('state', '=', 'running')
              .then(sql.lit('running'))
              .else(sql.lit('later'))
              .end()
              .as('backlog'),
            eb.fn.countAll<number>().as('count'),
            eb.fn.min<number>('due_at_ms').as('oldest'),
          ])
          .where('due_at_ms', 'is not', null)
          .groupBy(['stage', 'backlog'])
          .execute(),
      )
      return rows.map((row) => ({
        stage: row.stage as WorkStage,
        state: row.backlog as Backlog['state'],
        count: Number(row.count),
        oldestDueAtMs: Number(row.oldest),
      }))
    },
  }
}

/** A row of pending work. */
export function newWork(work: {
  readonly id: Id
  readonly recording: Id
  readonly organisation: Id
  readonly stage: WorkStage
  readonly input: WorkInput
  readonly runAtMs: number
}): NewRow<'work'> {
  return {
    id: work.id,
    recording: work.recording,
    organisation: work.organisation,
    stage: work.stage,
    state: 'pending',
    input: JSON.stringify(work.input),
    attempts_count: 0,
    run_at_ms: work.runAtMs,
    lease_until_ms: null,
    fence: 0,
    done_units: 0,
    total_units: null,
    error: null,
    due_at_ms: work.runAtMs,
  }
}

/** The people are in the sealed manifest now; here they have no business any more. */
function withoutPeople(input: WorkInput): WorkInput {
  if (input.kind === 'file') return { ...input, people: null, sha256: null }
  return input.kind === 'vault' ? input : { ...input, people: null }
}

function toWork(row: Row<'work'>): WorkRow {
  return {
    id: row.id,
    recording: row.recording,
    organisation: row.organisation,
    stage: row.stage as WorkStage,
    state: row.state as WorkRow['state'],
    input: fromJson(row.input),
    attemptsCount: row.attempts_count,
    runAtMs: row.run_at_ms,
    leaseUntilMs: row.lease_until_ms,
    fence: row.fence,
    doneUnits: row.done_units,
    totalUnits: row.total_units,
    error: fromJsonOrNull(row.error),
  }
}
