import type { Transaction } from 'kysely'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import type { UpkeepCatalog } from '../../ports/catalog/upkeep.ts'
import type { Database } from './database.ts'
import { unknownNode } from './installation.ts'
import { toJsonOrNull } from './json.ts'
import { newObject } from './objects.ts'
import type { Tables } from './schema.ts'
import { indexTitle } from './search.ts'
import { titleWordsColumn } from './title-words.ts'

/** Rows of one insert. */
const MAX_INSERTED = 500

/** Writes rows of what a rebuild found on the nodes, as if they had been there all the time. */
export function restoreCatalog(database: Database): Pick<UpkeepCatalog, 'restore' | 'restoreObjects' | 'settleNode'> {
  return {
    async restore({ recording, attempts, generations, objects }) {
      return await database.transaction('restore a recording', async (trx) => {
        const added = await trx
          .insertInto('recordings')
          .values({
            id: recording.id,
            organisation: recording.organisation,
            state: recording.state,
            title: recording.title,
            title_words: titleWordsColumn(recording.title),
            host_id: recording.hostId,
            source_kind: recording.sourceKind,
            external_id: recording.externalId,
            started_at_ms: recording.startedAtMs,
            created_at_ms: recording.createdAtMs,
            updated_at_ms: recording.updatedAtMs,
            stored_at_ms: recording.storedAtMs,
            content_bytes: recording.contentBytes,
            duration_ms: recording.durationMs,
            scheme: JSON.stringify(recording.scheme),
            generation: recording.generation,
            reason: toJsonOrNull(recording.reason),
          })
          .onConflict((conflict) => conflict.doNothing())
          .returning(['id', 'organisation', 'title', 'created_at_ms'])
          .executeTakeFirst()
        if (!added) return false
        await indexTitle(trx, added)
        for (const attempt of attempts) {
          await trx
            .insertInto('attempts')
            .values({
              id: attempt.id,
              organisation: attempt.organisation,
              recording: attempt.recording,
              asset: attempt.asset,
              kind: attempt.kind,
              state: attempt.state,
              wrapped_verify_key: attempt.wrappedVerifyKey,
              sealed_bytes: attempt.sealedBytes,
              scheme: JSON.stringify(attempt.scheme),
            })
            .execute()
        }
        for (const { generation, state, sharing, sealedSha256, epoch } of generations) {
          await trx
            .insertInto('generations')
            .values({ recording: recording.id, generation, state, sharing, sealed_sha256: sealedSha256, epoch })
            .execute()
        }
        await insertObjects(trx, objects, database.nowMs())
        return true
      })
    },

    async settleNode(id, { settings, capabilities, wrappedSecret }) {
      const change = {
        settings: JSON.stringify(settings),
        capabilities: JSON.stringify(capabilities),
        wrapped_secret: wrappedSecret,
      }
      const { numUpdatedRows } = await database.run('note where a node lies', (db) =>
        db.updateTable('nodes').set(change).where('id', '=', id).executeTakeFirstOrThrow(),
      )
      if (numUpdatedRows === 0n) throw unknownNode(id)
    },

    async restoreObjects(objects) {
      await database.transaction('restore rows of objects', (trx) => insertObjects(trx, objects, database.nowMs()))
    },
  }
}

async function insertObjects(trx: Transaction<Tables>, objects: readonly ObjectRow[], nowMs: number): Promise<void> {
  for (let i = 0; i < objects.length; i += MAX_INSERTED) {
    await trx
      .insertInto('objects')
      .values(
        objects.slice(i, i + MAX_INSERTED).map((object) => ({
          ...newObject(object, 1),
          state: object.state,
          size_bytes: object.sizeBytes,
          changed_at_ms: nowMs,
        })),
      )
      .onConflict((conflict) => conflict.doNothing())
      .execute()
  }
}
