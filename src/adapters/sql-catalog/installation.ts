import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { NodeOwnership, StorageNode } from '../../domain/node.ts'
import type { PlacementRule } from '../../domain/placement.ts'
import type { InstallationCatalog, NodeRow, OrganisationRow } from '../../ports/catalog/access.ts'
import type { Database } from './database.ts'
import { fromJson, toBytes, toBytesOrNull } from './json.ts'
import type { Row } from './schema.ts'
import { stateEntries } from './state-memory.ts'

/** The installation, its organisations and its nodes. */
export function installationCatalog(database: Database): InstallationCatalog {
  const changeNode = async (id: Id, change: Partial<Omit<Row<'nodes'>, 'id'>>): Promise<void> => {
    const { numUpdatedRows } = await database.run('change a node', (db) =>
      db.updateTable('nodes').set(change).where('id', '=', id).executeTakeFirstOrThrow(),
    )
    if (numUpdatedRows === 0n) throw unknownNode(id)
  }

  return {
    ...stateEntries(database),

    async installation(proposed) {
      return await database.transaction('read the installation', async (trx) => {
        await trx
          .insertInto('installation')
          .values({ singleton: 1, id: proposed })
          .onConflict((conflict) => conflict.column('singleton').doNothing())
          .execute()
        const { id } = await trx.selectFrom('installation').select('id').executeTakeFirstOrThrow()
        return id
      })
    },

    async addOrganisation(organisation, card) {
      await database.transaction('add an organisation', async (trx) => {
        await trx
          .insertInto('organisations')
          .values({
            id: organisation.id,
            name: organisation.name,
            scheme: JSON.stringify(organisation.scheme),
            placement_rule: organisation.placementRule,
            created_at_ms: organisation.createdAtMs,
            state_generation: organisation.stateGeneration,
            state_sha256: organisation.stateSha256,
          })
          .execute()
        if (card)
          await trx
            .insertInto('cards')
            .values({ organisation: organisation.id, ...card })
            .execute()
      })
    },

    async organisation(id) {
      const row = await database.run('read an organisation', (db) =>
        db.selectFrom('organisations').selectAll().where('id', '=', id).executeTakeFirst(),
      )
      return row && toOrganisation(row)
    },

    async organisations() {
      const rows = await database.run('list the organisations', (db) =>
        db.selectFrom('organisations').selectAll().orderBy('created_at_ms').orderBy('id').execute(),
      )
      return rows.map(toOrganisation)
    },

    async setOrganisationPolicy(id, policy) {
      const { numUpdatedRows } = await database.run("set an organisation's policy", (db) =>
        db
          .updateTable('organisations')
          .set((eb) => ({
            scheme: policy.scheme === undefined ? eb.ref('scheme') : JSON.stringify(policy.scheme),
            placement_rule: policy.placementRule ?? eb.ref('placement_rule'),
          }))
          .where('id', '=', id)
          .executeTakeFirstOrThrow(),
      )
      if (numUpdatedRows === 0n) {
        throw new MosaikError('E_INPUT', `there is no organisation ${id}`, { organisation: id })
      }
    },

    async advanceState(id, expected, next, sha256) {
      const { numUpdatedRows } = await database.run("advance an organisation's state", (db) =>
        db
          .updateTable('organisations')
          .set({ state_generation: next, state_sha256: sha256 })
          .where('id', '=', id)
          .where('state_generation', '=', expected)
          .executeTakeFirstOrThrow(),
      )
      return numUpdatedRows > 0n
    },

    async retireEpochsBefore(organisation, leastEpoch) {
      await database.run('retire epochs', (db) =>
        db
          .updateTable('organisations')
          .set({ least_epoch: leastEpoch })
          .where('id', '=', organisation)
          .where('least_epoch', '<', leastEpoch)
          .execute(),
      )
    },

    async putCard(organisation, epoch, card) {
      await database.run('keep a vault card', (db) =>
        db
          .insertInto('cards')
          .values({ organisation, epoch, card })
          .onConflict((conflict) => conflict.columns(['organisation', 'epoch']).doNothing())
          .execute(),
      )
    },

    async cards(organisation) {
      const rows = await database.run('read the vault cards', (db) =>
        db.selectFrom('cards').select('card').where('organisation', '=', organisation).orderBy('epoch').execute(),
      )
      return rows.map((row) => toBytes(row.card))
    },

    async addNode(node) {
      await database.transaction('add a node', async (trx) => {
        await trx.insertInto('nodes').values(fromNode(node)).execute()
        await trx
          .insertInto('node_owners')
          .values({ node: node.id, epoch: 1, operator: node.operator, parent: node.parent, site: node.site })
          .execute()
      })
    },

    async nodes() {
      const rows = await database.run('list the nodes', (db) =>
        db.selectFrom('nodes').selectAll().orderBy('added_at_ms').orderBy('id').execute(),
      )
      return rows.map(toNode)
    },

    async node(id) {
      const row = await database.run('read a node', (db) =>
        db.selectFrom('nodes').selectAll().where('id', '=', id).executeTakeFirst(),
      )
      return row && toNode(row)
    },

    async setNodeState(id, state) {
      await changeNode(id, { state })
    },

    async setNodeOwnership(id, ownership: NodeOwnership) {
      const { country, operator, parent, site } = ownership
      await database.transaction("set a node's ownership", async (trx) => {
        const changed = await trx
          .updateTable('nodes')
          .set((eb) => ({ country, operator, parent, site, owner_epoch: eb('owner_epoch', '+', 1) }))
          .where('id', '=', id)
          .returning('owner_epoch')
          .executeTakeFirst()
        if (!changed) throw unknownNode(id)
        await trx
          .insertInto('node_owners')
          .values({ node: id, epoch: changed.owner_epoch, operator, parent, site })
          .execute()
      })
    },

    async setNodeCapabilities(id, capabilities) {
      await changeNode(id, { capabilities: JSON.stringify(capabilities) })
    },

    async setNodeSecret(id, wrappedSecret) {
      await changeNode(id, { wrapped_secret: wrappedSecret })
    },
  }
}

/** The catalog has no such node. */
export function unknownNode(id: Id): MosaikError {
  return new MosaikError('E_NODE_UNKNOWN', `there is no node ${id}`, { node: id })
}

function toOrganisation(row: Row<'organisations'>): OrganisationRow {
  return {
    id: row.id,
    name: row.name,
    scheme: fromJson(row.scheme),
    placementRule: row.placement_rule as PlacementRule,
    createdAtMs: row.created_at_ms,
    stateGeneration: row.state_generation,
    stateSha256: toBytesOrNull(row.state_sha256),
  }
}

function fromNode(node: NodeRow): Row<'nodes'> {
  return {
    id: node.id,
    name: node.name,
    driver: node.driver,
    state: node.state,
    country: node.country,
    operator: node.operator,
    parent: node.parent,
    site: node.site,
    owner_epoch: 1,
    settings: JSON.stringify(node.settings),
    wrapped_secret: node.wrappedSecret,
    capabilities: JSON.stringify(node.capabilities),
    added_at_ms: node.addedAtMs,
  }
}

function toNode(row: Row<'nodes'>): NodeRow {
  return {
    id: row.id,
    name: row.name,
    driver: row.driver as StorageNode['driver'],
    state: row.state as StorageNode['state'],
    country: row.country,
    operator: row.operator,
    parent: row.parent,
    site: row.site,
    settings: fromJson(row.settings),
    wrappedSecret: toBytesOrNull(row.wrapped_secret),
    capabilities: fromJson(row.capabilities),
    addedAtMs: row.added_at_ms,
  }
}
