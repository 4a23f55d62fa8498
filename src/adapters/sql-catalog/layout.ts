import type { LayoutCatalog } from '../../ports/catalog/layout.ts'
import { sql } from 'kysely'
import { attemptsAndGenerations } from './attempts.ts'
import type { Database } from './database.ts'
import { holdFence } from './fence.ts'
import { addObjectRows, setState, toObject } from './objects.ts'
import { isMadeByRepair, sharingCatalog } from './sharings.ts'
import { pastExposures } from './state-memory.ts'

/** What lies where: the rows of objects here, attempts and manifest generations in attempts.ts. */
export function layoutCatalog(database: Database): LayoutCatalog {
  return {
    ...attemptsAndGenerations(database),
    ...sharingCatalog(database),
    ...pastExposures(database),

    async addObjects(objects, fence) {
      if (objects.length === 0 && !fence) return
      await database.transaction('note objects before they are written', async (trx) => {
        if (fence) await holdFence(database, trx, fence)
        await addObjectRows(trx, objects)
      })
    },

    async setObjectState(node, key, state, sizeBytes) {
      await database.transaction('note the state of an object', (trx) =>
        setState(trx, node, key, state, sizeBytes, database.nowMs()),
      )
    },

    async fragments(attempt) {
      const rows = await database.run('read where fragments lie', (db) =>
        db
          .selectFrom('objects')
          .selectAll()
          .where('attempt', '=', attempt)
          .where('state', '=', 'stored')
          .orderBy('extent')
          .orderBy('share_index')
          .orderBy('node')
          .orderBy('key')
          .execute(),
      )
      return rows.map(toObject)
    },

    async manifestShares(recording, generation) {
      const rows = await database.run('read where manifest shares lie', (db) =>
        db
          .selectFrom('objects')
          .selectAll()
          .where('recording', '=', recording)
          .where('generation', '=', generation)
          .where('kind', '=', 'manifest')
          .where('state', '=', 'stored')
          .orderBy('share_index')
          .orderBy('node')
          .orderBy('key')
          .execute(),
      )
      return rows.map(toObject)
    },

    async exposures(sharing) {
      const rows = await database.run('read who ever held a share', (db) =>
        db
          .selectFrom('objects')
          .innerJoin('node_owners', 'node_owners.node', 'objects.node')
          .select([
            'objects.node as node',
            'objects.share_index as index',
            'node_owners.operator as operator',
            'node_owners.parent as parent',
            'node_owners.site as site',
          ])
          .distinct()
          .where('objects.sharing', '=', sharing)
          .whereRef('node_owners.epoch', '>=', 'objects.first_epoch')
          .where((eb) =>
            eb.or([eb('objects.last_epoch', 'is', null), eb('node_owners.epoch', '<=', eb.ref('objects.last_epoch'))]),
          )
          .union(
            db
              .selectFrom('past_exposures')
              .select(['node', 'share_index as index', 'operator', 'parent', 'site'])
              .where('sharing', '=', sharing),
          )
          .orderBy('index')
          .orderBy('node')
          .execute(),
      )
      return rows
    },

    async collectable(beforeMs, limit, node) {
      const rows = await database.run('look for objects to collect', (db) =>
        db
          .selectFrom('objects')
          .selectAll()
          // Spelled as the partial index spells it.
          .where(sql<boolean>`state in ('failed', 'superseded')`)
          .where('changed_at_ms', '<', beforeMs)
          .where(({ eb, selectFrom }) =>
            node === undefined
              ? eb(
                  'node',
                  'not in',
                  selectFrom('nodes').select('id').where('nodes.state', 'in', ['dismissed', 'removed']),
                )
              : eb('node', '=', node),
          )
          .orderBy('changed_at_ms')
          .limit(limit)
          .execute(),
      )
      return rows.map(toObject)
    },

    async nowMs() {
      if (database.dialect === 'sqlite') return database.nowMs()
      return await database.run("read the database server's clock", async (db) => {
        const { rows } = await sql<{ now: number }>`
          select cast(extract(epoch from clock_timestamp()) * 1000 as double precision) as now`.execute(db)
        return Math.round(rows[0]?.now ?? NaN)
      })
    },

    async failStaleIntents(beforeMs) {
      const { numUpdatedRows } = await database.run('give up what nobody writes any more', (db) =>
        db
          .updateTable('objects')
          .set({ state: 'failed', changed_at_ms: database.nowMs() })
          .where(sql<boolean>`state = 'intent'`)
          .where('created_at_ms', '<', beforeMs)
          .where(({ not }) => not(isMadeByRepair(database.nowMs())))
          // A card's name is its hash: what is written again under it is the same card.
          .where('kind', '<>', 'card')
          .where(({ not, exists, selectFrom }) =>
            not(
              exists(
                selectFrom('work')
                  .select('work.id')
                  .whereRef('work.recording', '=', 'objects.recording')
                  .where('work.state', '=', 'running'),
              ),
            ),
          )
          .executeTakeFirstOrThrow(),
      )
      return Number(numUpdatedRows)
    },

    async nodeUsage() {
      const rows = await database.run('count what lies on the nodes', (db) =>
        db
          .selectFrom('nodes')
          .leftJoin(
            (eb) =>
              eb
                .selectFrom('objects')
                .select(['node', sql<number>`count(*)`.as('objects')])
                .select(sql<number>`cast(coalesce(sum(size_bytes), 0) as bigint)`.as('bytes'))
                .where(sql<boolean>`state in ('stored', 'superseded')`)
                .groupBy('node')
                .as('usage'),
            (join) => join.onRef('usage.node', '=', 'nodes.id'),
          )
          .select(['nodes.id as node', 'usage.objects as objects', 'usage.bytes as bytes'])
          .orderBy('nodes.added_at_ms')
          .orderBy('nodes.id')
          .execute(),
      )
      return rows.map((row) => ({ node: row.node, objectsCount: row.objects ?? 0, bytes: row.bytes ?? 0 }))
    },

    async organisationObjects(organisation, kind) {
      const rows = await database.run('read where state and cards lie', (db) =>
        db
          .selectFrom('objects')
          .selectAll()
          .where(sql<boolean>`kind in ('state', 'card')`)
          .where('organisation', '=', organisation)
          .where('kind', '=', kind)
          .where('state', '=', 'stored')
          .orderBy('generation')
          .orderBy('share_index')
          .orderBy('node')
          .orderBy('key')
          .execute(),
      )
      return rows.map(toObject)
    },
  }
}
