import { MosaikError } from '../../domain/errors.ts'
import type { UploadCatalog, UploadRow } from '../../ports/catalog/access.ts'
import type { Database } from './database.ts'
import { fromJson } from './json.ts'
import type { Row } from './schema.ts'

/** Resumable uploads into the spool. */
export function uploadCatalog(database: Database): UploadCatalog {
  return {
    async addUpload(upload) {
      await database.run('add an upload', (db) =>
        db
          .insertInto('uploads')
          .values({
            id: upload.id,
            organisation: upload.organisation,
            owner: upload.owner,
            state: upload.state,
            length_bytes: upload.lengthBytes,
            offset_bytes: upload.offsetBytes,
            metadata: JSON.stringify(upload.metadata),
            recording: upload.recording,
            created_at_ms: upload.createdAtMs,
            updated_at_ms: upload.updatedAtMs,
          })
          .execute(),
      )
    },

    async upload(id) {
      const row = await database.run('read an upload', (db) =>
        db.selectFrom('uploads').selectAll().where('id', '=', id).executeTakeFirst(),
      )
      return row && toUpload(row)
    },

    async updateUpload(id, change, atMs) {
      await database.transaction('change an upload', async (trx) => {
        const row = await trx.selectFrom('uploads').select('metadata').where('id', '=', id).executeTakeFirst()
        if (!row) throw new MosaikError('E_INPUT', `there is no upload ${id}`, { upload: id })
        await trx
          .updateTable('uploads')
          .set({
            updated_at_ms: atMs,
            ...(change.state === 'consumed' ? { metadata: withoutHash(row.metadata) } : {}),
            ...(change.state === undefined ? {} : { state: change.state }),
            ...(change.lengthBytes === undefined ? {} : { length_bytes: change.lengthBytes }),
            ...(change.offsetBytes === undefined ? {} : { offset_bytes: change.offsetBytes }),
            ...(change.recording === undefined ? {} : { recording: change.recording }),
          })
          .where('id', '=', id)
          .$if(change.state === 'complete', (update) => update.where('state', '!=', 'consumed'))
          .execute()
      })
    },

    async uploads(state, updatedBeforeMs) {
      const rows = await database.run('list uploads', (db) =>
        db
          .selectFrom('uploads')
          .selectAll()
          .where('state', '=', state)
          .where('updated_at_ms', '<', updatedBeforeMs)
          .orderBy('updated_at_ms')
          .orderBy('id')
          .execute(),
      )
      return rows.map(toUpload)
    },

    async removeUpload(id) {
      await database.run('remove an upload', (db) => db.deleteFrom('uploads').where('id', '=', id).execute())
    },
  }
}

/** The hash of the content is in the sealed manifest by then; a hash in clear would tell who has the content. */
function withoutHash(metadata: string): string {
  const { sha256: _gone, ...rest } = fromJson<Readonly<Record<string, string>>>(metadata)
  return JSON.stringify(rest)
}

function toUpload(row: Row<'uploads'>): UploadRow {
  return {
    id: row.id,
    organisation: row.organisation,
    owner: row.owner,
    state: row.state as UploadRow['state'],
    lengthBytes: row.length_bytes,
    offsetBytes: row.offset_bytes,
    metadata: fromJson(row.metadata),
    recording: row.recording,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
  }
}
