import type { Kysely, Transaction } from 'kysely'
import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { NewRecording, RecordingCatalog, RecordingChange, RecordingRow } from '../../ports/catalog/recordings.ts'
import type { Database } from './database.ts'
import { unknownRecording } from './errors.ts'
import { holdFence } from './fence.ts'
import { fromJson, fromJsonOrNull, toBytes, toJsonOrNull } from './json.ts'
import type { NewRow, Row, Tables } from './schema.ts'
import { indexTitle, searchTitles } from './search.ts'
import { titleWordsColumn } from './title-words.ts'
import { newWork } from './work.ts'

const maxListed = 200

/** Recordings, their timeline and their receipts. */
export function recordingCatalog(database: Database): RecordingCatalog {
  return {
    async create(recording) {
      refuseNul(recording)
      return await database.transaction('add a recording', async (trx) => {
        const inserted = await trx
          .insertInto('recordings')
          .values(newRecording(recording))
          .onConflict((conflict) => conflict.doNothing())
          .returningAll()
          .executeTakeFirst()
        if (!inserted) {
          const present = await trx
            .selectFrom('recordings')
            .selectAll()
            .where('organisation', '=', recording.organisation)
            .where('source_kind', '=', recording.sourceKind)
            .where('external_id', '=', recording.externalId)
            .executeTakeFirst()
          if (!present) {
            const message = `there is a recording ${recording.id} already, and it is another one`
            throw new MosaikError('E_CONFLICT', message, { recording: recording.id })
          }
          return { recording: toRecording(present), created: false }
        }
        await indexTitle(trx, inserted)
        await trx
          .insertInto('work')
          .values(
            newWork({
              ...recording.work,
              recording: recording.id,
              organisation: recording.organisation,
              runAtMs: recording.atMs,
            }),
          )
          .execute()
        return { recording: toRecording(inserted), created: true }
      })
    },

    async get(id, organisation) {
      const row = await database.run('read a recording', (db) =>
        db
          .selectFrom('recordings')
          .selectAll()
          .where('id', '=', id)
          .$if(organisation !== undefined, (query) => query.where('organisation', '=', organisation as Id))
          .executeTakeFirst(),
      )
      return row && toRecording(row)
    },

    async list(query) {
      const { search = '', after } = query
      const limit = Math.max(0, Math.min(query.limit, maxListed))
      const rows = await database.run('list recordings', (db) => {
        if (search.trim() !== '') return searchTitles(db, database.dialect, { ...query, search }, limit)
        let select = db
          .selectFrom('recordings')
          .selectAll()
          .where('organisation', '=', query.organisation)
          .orderBy('created_at_ms', 'desc')
          .orderBy('id', 'desc')
          .limit(limit)
        if (query.hostId !== undefined) select = select.where('host_id', '=', query.hostId)
        if (query.state !== undefined) select = select.where('state', '=', query.state)
        if (after) {
          select = select.where(({ eb, refTuple, tuple }) =>
            eb(refTuple('created_at_ms', 'id'), '<', tuple(after.createdAtMs, after.id)),
          )
        }
        return select.execute()
      })
      return rows.map(toRecording)
    },

    async update(id, change, atMs, fence) {
      await database.transaction('change a recording', async (trx) => {
        if (fence) await holdFence(database, trx, fence)
        await changeRecording(trx, id, change, atMs)
      })
    },

    async addEvent(recording, atMs, kind, fields) {
      await database.run('add to a timeline', (db) =>
        db
          .insertInto('events')
          .values({ recording, at_ms: atMs, kind, fields: JSON.stringify(fields) })
          .execute(),
      )
    },

    async events(recording) {
      const rows = await database.run('read a timeline', (db) =>
        db
          .selectFrom('events')
          .select(['at_ms', 'kind', 'fields'])
          .where('recording', '=', recording)
          .orderBy('at_ms')
          .orderBy('seq')
          .execute(),
      )
      return rows.map((row) => ({ atMs: row.at_ms, kind: row.kind, fields: fromJson(row.fields) }))
    },

    async putReceipt(recording, receipt, atMs) {
      await database.run('keep a receipt', (db) => keepReceipt(db, recording, receipt, atMs))
    },

    async receipt(recording) {
      const row = await database.run('read a receipt', (db) =>
        db.selectFrom('receipts').select('receipt').where('recording', '=', recording).executeTakeFirst(),
      )
      return row && toBytes(row.receipt)
    },
  }
}

/** Keeps the receipt; the first one stays. */
export async function keepReceipt(db: Kysely<Tables>, recording: Id, receipt: Uint8Array, atMs: number): Promise<void> {
  await db
    .insertInto('receipts')
    .values({ recording, receipt, at_ms: atMs })
    .onConflict((conflict) => conflict.column('recording').doNothing())
    .execute()
}

/** Changes the row inside the caller's transaction. @throws E_RECORDING_UNKNOWN */
export async function changeRecording(
  trx: Transaction<Tables>,
  id: Id,
  change: RecordingChange,
  atMs: number,
): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('recordings')
    .set({
      updated_at_ms: atMs,
      ...(change.state === undefined ? {} : { state: change.state }),
      ...(change.storedAtMs === undefined ? {} : { stored_at_ms: change.storedAtMs }),
      ...(change.contentBytes === undefined ? {} : { content_bytes: change.contentBytes }),
      ...(change.durationMs === undefined ? {} : { duration_ms: change.durationMs }),
      ...(change.generation === undefined ? {} : { generation: change.generation }),
      ...(change.reason === undefined ? {} : { reason: toJsonOrNull(change.reason) }),
    })
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows === 0n) throw unknownRecording(id)
}

/** PostgreSQL cannot hold U+0000 in a text; so that both databases take the same, neither does. */
function refuseNul(recording: NewRecording): void {
  for (const what of ['title', 'hostId', 'sourceKind', 'externalId'] as const) {
    if (recording[what]?.includes('\0')) {
      throw new MosaikError('E_INPUT', `the recording's ${what} holds a NUL character`, { recording: recording.id })
    }
  }
}

function newRecording(recording: NewRecording): NewRow<'recordings'> {
  return {
    id: recording.id,
    organisation: recording.organisation,
    state: 'received',
    title: recording.title,
    title_words: titleWordsColumn(recording.title),
    host_id: recording.hostId,
    source_kind: recording.sourceKind,
    external_id: recording.externalId,
    started_at_ms: recording.startedAtMs,
    created_at_ms: recording.atMs,
    updated_at_ms: recording.atMs,
    stored_at_ms: null,
    content_bytes: null,
    duration_ms: null,
    scheme: JSON.stringify(recording.scheme),
    generation: 0,
    reason: null,
  }
}

/** The row as the port shows it. */
export function toRecording(row: Row<'recordings'>): RecordingRow {
  return {
    id: row.id,
    organisation: row.organisation,
    state: row.state as RecordingRow['state'],
    title: row.title,
    hostId: row.host_id,
    sourceKind: row.source_kind,
    externalId: row.external_id,
    startedAtMs: row.started_at_ms,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
    storedAtMs: row.stored_at_ms,
    contentBytes: row.content_bytes,
    durationMs: row.duration_ms,
    scheme: fromJson(row.scheme),
    generation: row.generation,
    reason: fromJsonOrNull(row.reason),
  }
}
