import { sql, type Transaction } from 'kysely'
import { MosaikError } from '../../domain/errors.ts'
import type { Scheme } from '../../domain/dispersal.ts'
import type { Id } from '../../domain/ids.ts'
import type { NewObject, ObjectRole, ObjectRow, ObjectState } from '../../ports/catalog/layout.ts'
import type { ObjectKey } from '../../ports/object-store.ts'
import { unknownNode } from './installation.ts'
import { fromJson } from './json.ts'
import type { NewRow, Row, Tables } from './schema.ts'

/** Rows of one insert: SQLite takes 32,766 values in a statement. */
const maxInsertedRows = 500

/**
 * From which states an object may come to a state. `stored` only from `intent`: a row that was once given up is the
 * collector's, and a write that ends late must not take it back. A deletion that a node confirmed is a fact anywhere.
 */
const before: Readonly<Record<ObjectState, readonly ObjectState[]>> = {
  intent: ['intent'],
  stored: ['intent', 'stored'],
  failed: ['intent', 'stored', 'failed'],
  superseded: ['intent', 'stored', 'superseded'],
  deleted: ['intent', 'stored', 'failed', 'superseded', 'deleted'],
}

/**
 * Adds the rows as `intent`. Repeating what is already there as `intent` changes nothing; a card that was deleted may be
 * written again, its name being the hash of what it holds.
 * @throws E_NODE_UNKNOWN; E_CONFLICT when a row of that name is past writing.
 */
export async function addObjectRows(trx: Transaction<Tables>, objects: readonly NewObject[]): Promise<void> {
  const nodes = [...new Set(objects.map((object) => object.node))]
  if (nodes.length === 0) return
  const known = await trx.selectFrom('nodes').select(['id', 'owner_epoch']).where('id', 'in', nodes).execute()
  const epochs = new Map(known.map((node) => [node.id, node.owner_epoch]))
  for (let i = 0; i < objects.length; i += maxInsertedRows) {
    const chunk = objects.slice(i, i + maxInsertedRows)
    const rows = chunk.map((object) => {
      const epoch = epochs.get(object.node)
      if (epoch === undefined) throw unknownNode(object.node)
      return newObject(object, epoch)
    })
    const added = await trx
      .insertInto('objects')
      .values(rows)
      .onConflict((conflict) =>
        conflict
          .columns(['node', 'key'])
          .doUpdateSet((eb) => ({
            state: 'intent',
            last_epoch: null,
            created_at_ms: eb.ref('excluded.created_at_ms'),
            changed_at_ms: eb.ref('excluded.changed_at_ms'),
          }))
          .where((eb) =>
            eb.or([
              eb('objects.state', '=', 'intent'),
              eb.and([eb('objects.kind', '=', 'card'), eb('objects.state', '<>', 'stored')]),
            ]),
          ),
      )
      .returning(['node', 'key'])
      .execute()
    if (added.length < chunk.length) await refuseTaken(trx, chunk, added)
  }
}

/** A card that lies there already is what was asked for; anything else under a name once given is a mistake. */
async function refuseTaken(
  trx: Transaction<Tables>,
  objects: readonly NewObject[],
  added: readonly { readonly node: string; readonly key: string }[],
): Promise<void> {
  const done = new Set(added.map((object) => `${object.node} ${object.key}`))
  for (const object of objects) {
    if (done.has(`${object.node} ${object.key}`)) continue
    const present = await trx
      .selectFrom('objects')
      .select(['kind', 'state'])
      .where('node', '=', object.node)
      .where('key', '=', object.key)
      .executeTakeFirst()
    if (present?.kind === 'card' && present.state === 'stored') continue
    throw new MosaikError(
      'E_CONFLICT',
      `an object of this name is on the node already, and it is ${present?.state ?? 'named twice'}`,
      { node: object.node, object: object.key, state: present?.state ?? null },
    )
  }
}

/** Moves one object to `state`. @throws E_CONFLICT when there is no row, or its state does not allow it. */
export async function setState(
  trx: Transaction<Tables>,
  node: Id,
  key: ObjectKey,
  state: ObjectState,
  sizeBytes: number | undefined,
  nowMs: number,
): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('objects')
    .set((eb) => ({
      state,
      // Repeating a state does not make it younger.
      changed_at_ms: sql<number>`case when state = ${state} then changed_at_ms else cast(${nowMs} as bigint) end`,
      ...(sizeBytes === undefined ? {} : { size_bytes: sizeBytes }),
      ...(state === 'deleted'
        ? {
            last_epoch: eb
              .selectFrom('nodes')
              .select('nodes.owner_epoch')
              .whereRef('nodes.id', '=', 'objects.node')
              .$asScalar(),
          }
        : {}),
    }))
    .where('node', '=', node)
    .where('key', '=', key)
    .where('state', 'in', before[state])
    .executeTakeFirstOrThrow()
  if (numUpdatedRows > 0n) return
  const present = await trx
    .selectFrom('objects')
    .select('state')
    .where('node', '=', node)
    .where('key', '=', key)
    .executeTakeFirst()
  throw new MosaikError(
    'E_CONFLICT',
    present
      ? `an object that is ${present.state} cannot become ${state}`
      : `an object that the catalog does not know cannot become ${state}`,
    { node, object: key, present: present?.state ?? null, wanted: state },
  )
}

/** A row as `intent`. */
export function newObject(object: NewObject, epoch: number): NewRow<'objects'> {
  const { role } = object
  return {
    node: object.node,
    key: object.key,
    organisation: object.organisation,
    recording: object.recording,
    kind: role.kind,
    attempt: role.kind === 'fragment' ? role.attempt : null,
    extent: role.kind === 'fragment' ? role.extent : null,
    generation: role.kind === 'manifest' || role.kind === 'state' ? role.generation : null,
    sharing: object.sharing,
    share_index: object.index,
    state: 'intent',
    size_bytes: null,
    created_at_ms: object.createdAtMs,
    changed_at_ms: object.createdAtMs,
    first_epoch: epoch,
    last_epoch: null,
    scheme: object.scheme === undefined ? null : JSON.stringify(object.scheme),
  }
}

/** The row as the port shows it. */
export function toObject(row: Row<'objects'>): ObjectRow {
  return {
    node: row.node,
    key: row.key,
    organisation: row.organisation,
    recording: row.recording,
    role: toRole(row),
    sharing: row.sharing,
    index: row.share_index,
    state: row.state as ObjectState,
    sizeBytes: row.size_bytes,
    createdAtMs: row.created_at_ms,
    ...(row.scheme === null ? {} : { scheme: fromJson<Scheme>(row.scheme) }),
  }
}

function toRole(row: Row<'objects'>): ObjectRole {
  if (row.kind === 'fragment') return { kind: 'fragment', attempt: row.attempt as Id, extent: row.extent as number }
  if (row.kind === 'card') return { kind: 'card' }
  return { kind: row.kind as 'manifest' | 'state', generation: row.generation as number }
}
