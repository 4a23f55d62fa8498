import { sql } from 'kysely'
import type { StateEntries } from '../../domain/organisation-state.ts'
import type { InstallationCatalog } from '../../ports/catalog/access.ts'
import type { LayoutCatalog } from '../../ports/catalog/layout.ts'
import type { Database } from './database.ts'
import { fromJson } from './json.ts'

/** Rows of one insert. */
const MAX_INSERTED = 500

/** Entries of an organisation's state that are nowhere else in the catalog. */
export function stateEntries(database: Database): Pick<InstallationCatalog, 'keepStateEntries' | 'stateEntries'> {
  return {
    async keepStateEntries(organisation, { policies, holds, tombstones }) {
      const rows = [
        ...policies.map((entry) => ({ kind: 'policy', id: entry.id, entry })),
        ...holds.map((entry) => ({ kind: 'hold', id: entry.id, entry })),
        ...tombstones.map((entry) => ({ kind: 'tombstone', id: entry.recording, entry })),
      ]
      await database.transaction('keep what the state says', async (trx) => {
        await trx.deleteFrom('state_entries').where('organisation', '=', organisation).execute()
        for (let i = 0; i < rows.length; i += MAX_INSERTED) {
          const some = rows.slice(i, i + MAX_INSERTED)
          await trx
            .insertInto('state_entries')
            .values(some.map(({ kind, id, entry }) => ({ organisation, kind, id, entry: JSON.stringify(entry) })))
            .execute()
        }
      })
    },

    async stateEntries(organisation) {
      const rows = await database.run('read what the state says', (db) =>
        db.selectFrom('state_entries').selectAll().where('organisation', '=', organisation).orderBy('id').execute(),
      )
      const of = <T>(kind: string): T[] => rows.filter((row) => row.kind === kind).map((row) => fromJson<T>(row.entry))
      const entries: StateEntries = { policies: of('policy'), holds: of('hold'), tombstones: of('tombstone') }
      return entries
    },
  }
}

/** Who held shares that the present rows of objects and nodes do not show. */
export function pastExposures(database: Database): Pick<LayoutCatalog, 'pastExposures' | 'keepExposures'> {
  return {
    async pastExposures(organisation, limit) {
      return await database.run('read who held shares once', async (db) => {
        // The share has left the node, or the node had another owner while it lay there.
        const rows = await db
          .selectFrom('objects as gone')
          .innerJoin('node_owners as owner', 'owner.node', 'gone.node')
          .select(['gone.sharing as sharing', 'gone.share_index as index', 'gone.node as node'])
          .select(['owner.operator as operator', 'owner.parent as parent', 'owner.site as site'])
          .distinct()
          .where('gone.organisation', '=', organisation)
          .where(
            sql<boolean>`gone.recording is not null and gone.state in ('failed', 'superseded', 'deleted')
              and owner.epoch >= gone.first_epoch and (gone.last_epoch is null or owner.epoch <= gone.last_epoch)
              and exists (select 1 from objects s where s.sharing = gone.sharing and s.state = 'stored')
              and not exists (select 1 from objects h join nodes on nodes.id = h.node
                where h.sharing = gone.sharing and h.share_index = gone.share_index and h.node = gone.node
                and h.state = 'stored' and owner.epoch = nodes.owner_epoch)`,
          )
          .union(
            db
              .selectFrom('nodes as bought')
              .innerJoin('objects as here', 'here.node', 'bought.id')
              .innerJoin('node_owners as owner', 'owner.node', 'bought.id')
              .select(['here.sharing as sharing', 'here.share_index as index', 'here.node as node'])
              .select(['owner.operator as operator', 'owner.parent as parent', 'owner.site as site'])
              .where('here.organisation', '=', organisation)
              .where(
                sql<boolean>`bought.owner_epoch > 1 and here.recording is not null and here.state = 'stored'
                  and owner.epoch >= here.first_epoch and owner.epoch < bought.owner_epoch`,
              ),
          )
          .union(
            db
              .selectFrom('past_exposures as kept')
              .select(['kept.sharing as sharing', 'kept.share_index as index', 'kept.node as node'])
              .select(['kept.operator as operator', 'kept.parent as parent', 'kept.site as site'])
              .where('kept.organisation', '=', organisation)
              .where(
                sql<boolean>`exists (select 1 from objects s where s.sharing = kept.sharing and s.state = 'stored')`,
              ),
          )
          .orderBy('sharing')
          .orderBy('index')
          .orderBy('node')
          .limit(limit)
          .execute()
        return rows.map((row) => ({ ...row, sharing: row.sharing ?? '' }))
      })
    },

    async keepExposures(organisation, exposures) {
      await database.transaction('keep who held shares once', async (trx) => {
        for (let i = 0; i < exposures.length; i += MAX_INSERTED) {
          await trx
            .insertInto('past_exposures')
            .values(
              exposures.slice(i, i + MAX_INSERTED).map(({ sharing, index, node, operator, parent, site }) => ({
                ...{ organisation, sharing, share_index: index, node, operator, parent, site },
              })),
            )
            .onConflict((conflict) => conflict.doNothing())
            .execute()
        }
      })
    },
  }
}
