import type { Transaction } from 'kysely'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import type { Id } from '../../domain/ids.ts'
import type { WorkRow } from '../../ports/catalog/recordings.ts'
import type { RestoredRecording, UpkeepCatalog } from '../../ports/catalog/upkeep.ts'
import { newAttempt } from './attempts.ts'
import type { Database } from './database.ts'
import { unknownNode } from './installation.ts'
import { toJsonOrNull } from './json.ts'
import { newObject } from './objects.ts'
import type { Row, Tables } from './schema.ts'
import { indexTitle } from './search.ts'
import { titleWords, titleWordsColumn } from './title-words.ts'

/** Rows of one insert. */
const MAX_INSERTED = 500

/** Writes rows of what a rebuild found on the nodes, as if they had been there all the time. */
export function restoreCatalog(
  database: Database,
): Pick<UpkeepCatalog, 'restore' | 'restoreObjects' | 'forget' | 'settleNode'> {
  return {
    async restore(found) {
      return await database.transaction('restore a recording', async (trx) => {
        const outcome = await restoreRow(trx, found)
        const nowMs = database.nowMs()
        if (outcome === 'newer') await endWhatCameBefore(trx, found, nowMs)
        for (const attempt of found.attempts) await restoreAttempt(trx, attempt, found)
        for (const { generation, state, sharing, sealedSha256, epoch } of found.generations) {
          const row = { state, sharing, sealed_sha256: sealedSha256, epoch }
          await trx
            .insertInto('generations')
            .values({ recording: found.recording.id, generation, ...row })
            .onConflict((conflict) =>
              conflict
                .columns(['recording', 'generation'])
                .doUpdateSet(row)
                // Once it was there in part only.
                .where((eb) => eb.and([eb('generations.state', '<>', 'stored'), eb.val(state === 'stored')])),
            )
            .execute()
        }
        await insertObjects(trx, found.objects, nowMs)
        return outcome
      })
    },

    async forget(recording, reason) {
      await database.transaction('forget a recording that was to be erased', async (trx) => {
        const nowMs = database.nowMs()
        const change = { state: 'failed', generation: 0, reason: JSON.stringify(reason), updated_at_ms: nowMs }
        await trx.updateTable('recordings').set(change).where('id', '=', recording).execute()
        await trx.updateTable('attempts').set({ state: 'superseded' }).where('recording', '=', recording).execute()
        await endWork(trx, recording, ['store', 'transcode'])
        await trx
          .updateTable('objects')
          .set({ state: 'superseded', changed_at_ms: nowMs })
          .where('recording', '=', recording)
          .where('state', 'in', ['intent', 'stored'])
          .execute()
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

/** `newer`: the row is of an earlier generation than what was found. */
async function restoreRow(
  trx: Transaction<Tables>,
  { recording }: RestoredRecording,
): Promise<'added' | 'newer' | 'known'> {
  const found = {
    state: recording.state,
    title: recording.title,
    title_words: titleWordsColumn(recording.title),
    host_id: recording.hostId,
    started_at_ms: recording.startedAtMs,
    updated_at_ms: recording.updatedAtMs,
    content_bytes: recording.contentBytes,
    duration_ms: recording.durationMs,
    generation: recording.generation,
    reason: toJsonOrNull(recording.reason),
  }
  const present = await trx
    .selectFrom('recordings')
    .select(['organisation', 'title', 'created_at_ms', 'generation', 'stored_at_ms'])
    .where('id', '=', recording.id)
    .executeTakeFirst()
  if (!present) {
    const added = await trx
      .insertInto('recordings')
      .values({
        ...found,
        id: recording.id,
        organisation: recording.organisation,
        source_kind: recording.sourceKind,
        external_id: recording.externalId,
        created_at_ms: recording.createdAtMs,
        stored_at_ms: recording.storedAtMs,
        scheme: JSON.stringify(recording.scheme),
      })
      .returning(['id', 'organisation', 'title', 'created_at_ms'])
      .executeTakeFirstOrThrow()
    await indexTitle(trx, added)
    return 'added'
  }
  if (present.generation >= recording.generation) return 'known'
  await trx
    .updateTable('recordings')
    .set({ ...found, stored_at_ms: present.stored_at_ms ?? recording.storedAtMs })
    .where('id', '=', recording.id)
    .execute()
  if (present.title !== recording.title) await indexTitleAnew(trx, recording, present)
  return 'newer'
}

async function indexTitleAnew(
  trx: Transaction<Tables>,
  { id, title }: Pick<RestoredRecording['recording'], 'id' | 'title'>,
  before: Pick<Row<'recordings'>, 'organisation' | 'title' | 'created_at_ms'>,
): Promise<void> {
  const { organisation, created_at_ms } = before
  const words = titleWords(before.title)
  if (words.length > 0) {
    await trx
      .deleteFrom('title_hits')
      .where('word', 'in', (eb) =>
        eb
          .selectFrom('title_words')
          .select('title_words.id')
          .where('organisation', '=', organisation)
          .where('title_words.word', 'in', words),
      )
      .where('created_at_ms', '=', created_at_ms)
      .where('recording', '=', id)
      .execute()
  }
  await indexTitle(trx, { id, organisation, title, created_at_ms })
}

/** Attempts and shares that the newer manifest does not name; and work that has been done. */
async function endWhatCameBefore(
  trx: Transaction<Tables>,
  { recording, attempts }: RestoredRecording,
  nowMs: number,
): Promise<void> {
  const named = attempts.map(({ id }) => id)
  const others = (
    await trx
      .selectFrom('attempts')
      .select('id')
      .where('recording', '=', recording.id)
      .where('state', 'in', ['writing', 'stored'])
      .execute()
  )
    .map(({ id }) => id)
    .filter((id) => !named.includes(id))
  if (others.length > 0) {
    await trx.updateTable('attempts').set({ state: 'superseded' }).where('id', 'in', others).execute()
    await trx
      .updateTable('objects')
      .set({ state: 'superseded', changed_at_ms: nowMs })
      .where('attempt', 'in', others)
      .where('state', 'in', ['intent', 'stored'])
      .execute()
  }
  await trx
    .updateTable('generations')
    .set({ state: 'abandoned' })
    .where('recording', '=', recording.id)
    .where('state', '=', 'reserved')
    .execute()
  await trx
    .updateTable('objects')
    .set({ state: 'superseded', changed_at_ms: nowMs })
    .where('recording', '=', recording.id)
    .where('kind', '=', 'manifest')
    .where('generation', '<', recording.generation)
    .where('state', 'in', ['intent', 'stored'])
    .execute()
  await endWork(trx, recording.id, recording.state === 'stored' ? ['store'] : ['store', 'transcode'])
}

/** Work on what has happened already: nobody is to begin it, and whoever has it loses it. */
async function endWork(trx: Transaction<Tables>, recording: Id, stages: readonly WorkRow['stage'][]): Promise<void> {
  await trx
    .updateTable('work')
    .set((eb) => ({ state: 'done', due_at_ms: null, lease_until_ms: null, fence: eb('fence', '+', 1) }))
    .where('recording', '=', recording)
    .where('stage', 'in', stages)
    .where('state', 'in', ['pending', 'running'])
    .execute()
}

async function restoreAttempt(
  trx: Transaction<Tables>,
  attempt: RestoredRecording['attempts'][number],
  { objects }: RestoredRecording,
): Promise<void> {
  // Without a fragment of it the scheme is a guess.
  const isSeen = objects.some(({ role }) => role.kind === 'fragment' && role.attempt === attempt.id)
  const row = newAttempt(attempt)
  await trx
    .insertInto('attempts')
    .values(row)
    .onConflict((conflict) =>
      conflict
        .column('id')
        .doUpdateSet({
          state: row.state,
          sealed_bytes: row.sealed_bytes,
          wrapped_verify_key: row.wrapped_verify_key,
          ...(isSeen ? { scheme: row.scheme } : {}),
        })
        .where('attempts.state', 'in', ['writing', 'stored']),
    )
    .execute()
}

/** What was on its way when the catalog was copied has arrived; what it has given up stays so. */
async function insertObjects(trx: Transaction<Tables>, objects: readonly ObjectRow[], nowMs: number): Promise<void> {
  const epochs = new Map(
    (await trx.selectFrom('nodes').select(['id', 'owner_epoch']).execute()).map((node) => [node.id, node.owner_epoch]),
  )
  for (let i = 0; i < objects.length; i += MAX_INSERTED) {
    await trx
      .insertInto('objects')
      .values(
        objects.slice(i, i + MAX_INSERTED).map((object) => ({
          ...newObject(object, epochs.get(object.node) ?? 1),
          state: object.state,
          size_bytes: object.sizeBytes,
          changed_at_ms: nowMs,
        })),
      )
      .onConflict((conflict) =>
        conflict
          .columns(['node', 'key'])
          .doUpdateSet((eb) => ({
            state: eb.ref('excluded.state'),
            size_bytes: eb.ref('excluded.size_bytes'),
            changed_at_ms: nowMs,
          }))
          .where('objects.state', '=', 'intent'),
      )
      .execute()
  }
}
