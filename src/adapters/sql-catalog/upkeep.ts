import { sql, type Kysely, type SelectQueryBuilder } from 'kysely'
import { MosaikError } from '../../domain/errors.ts'
import type { FindingKind } from '../../domain/health.ts'
import type { Id } from '../../domain/ids.ts'
import type { FindingRow, SurveyedRecording, TaskProgress, UpkeepCatalog } from '../../ports/catalog/upkeep.ts'
import { toAttempt, toGeneration } from './attempts.ts'
import type { Database } from './database.ts'
import { fromJson, toBytes } from './json.ts'
import { toObject } from './objects.ts'
import { toRecording } from './recordings.ts'
import type { Row, Tables } from './schema.ts'
import { restoreCatalog } from './upkeep-restore.ts'

const MAX_SURVEYED = 200

/** Findings, tasks, flags, and walks over everything. */
export function upkeepCatalog(database: Database): UpkeepCatalog {
  const select = async (
    narrow: (
      query: SelectQueryBuilder<Tables, 'recordings', object>,
    ) => SelectQueryBuilder<Tables, 'recordings', object>,
  ): Promise<SurveyedRecording[]> =>
    await database.run('survey recordings', async (db) => {
      const recordings = await narrow(db.selectFrom('recordings')).selectAll('recordings').orderBy('id').execute()
      return await completed(db, recordings)
    })

  return {
    ...restoreCatalog(database),

    async survey(after, limit) {
      return await select((query) =>
        (after === undefined ? query : query.where('id', '>', after)).limit(Math.min(limit, MAX_SURVEYED)),
      )
    },

    async surveyed(recording) {
      return (await select((query) => query.where('id', '=', recording)))[0]
    },

    async sealedBeforeEpoch(organisation, epoch, after, limit) {
      const rows = await database.run('look for manifests of earlier epochs', (db) =>
        withManifest(db, organisation)
          .select('recordings.id')
          .where('generations.epoch', '<', epoch)
          .$if(after !== undefined, (query) => query.where('recordings.id', '>', after as string))
          .orderBy('recordings.id')
          .limit(limit)
          .execute(),
      )
      return rows.map(({ id }) => id)
    },

    async countSealedBeforeEpoch(organisation, epoch) {
      const { before, all } = await database.run('count manifests of earlier epochs', (db) =>
        withManifest(db, organisation)
          .select(sql<number>`cast(count(*) as bigint)`.as('all'))
          .select(
            sql<number>`cast(coalesce(sum(case when generations.epoch < ${epoch} then 1 else 0 end), 0) as bigint)`.as(
              'before',
            ),
          )
          .executeTakeFirstOrThrow(),
      )
      return { before: Number(before), all: Number(all) }
    },

    async objectsOn(node, prefix, after, limit) {
      const rows = await database.run('walk the objects of a node', (db) =>
        db
          .selectFrom('objects')
          .selectAll()
          .where('node', '=', node)
          .where('key', 'like', `${prefix}%`)
          .$if(after !== undefined, (query) => query.where('key', '>', after as string))
          .orderBy('key')
          .limit(limit)
          .execute(),
      )
      return rows.map(toObject)
    },

    async object(node, key) {
      const row = await database.run('read the row of an object', (db) =>
        db.selectFrom('objects').selectAll().where('node', '=', node).where('key', '=', key).executeTakeFirst(),
      )
      return row && toObject(row)
    },

    async report(findings, atMs) {
      if (findings.length === 0) return
      await database.transaction('note findings', async (trx) => {
        for (const finding of findings) {
          const { kind, group, organisation, recording, node, object, index, slack, fields } = finding
          await trx
            .insertInto('findings')
            .values({
              group_name: group,
              kind,
              share_index: index,
              node: node ?? '',
              object: object ?? '',
              organisation,
              recording,
              slack,
              fields: JSON.stringify(fields),
              found_at_ms: atMs,
              seen_at_ms: atMs,
              resolved_at_ms: null,
              tries: 0,
              try_at_ms: 0,
            })
            .onConflict((conflict) =>
              conflict.columns(['group_name', 'kind', 'share_index', 'node', 'object']).doUpdateSet((eb) => ({
                seen_at_ms: atMs,
                slack,
                fields: JSON.stringify(fields),
                // One that comes back is a new one.
                found_at_ms: sql<number>`case when findings.resolved_at_ms is null then findings.found_at_ms else ${eb.ref('excluded.found_at_ms')} end`,
                tries: sql<number>`case when findings.resolved_at_ms is null then findings.tries else 0 end`,
                try_at_ms: sql<number>`case when findings.resolved_at_ms is null then findings.try_at_ms else 0 end`,
                resolved_at_ms: null,
              })),
            )
            .execute()
        }
      })
    },

    async resolve(group, atMs, index, kind) {
      await database.run('resolve findings', (db) =>
        db
          .updateTable('findings')
          .set({ resolved_at_ms: atMs })
          .where('group_name', '=', group)
          .where('resolved_at_ms', 'is', null)
          .$if(index !== undefined, (query) => query.where('share_index', '=', index as number))
          .$if(kind !== undefined, (query) => query.where('kind', '=', kind as string))
          .execute(),
      )
    },

    async repairQueue(nowMs, limit, except = []) {
      const rows = await database.run('read the repair queue', async (db) => {
        const due = db
          .selectFrom('findings')
          .select('group_name')
          .select(
            sql<number>`min(case when kind in ('violation', 'exposed') then 0
              when kind in ('scheme', 'refresh') then 2 else 1 end)`.as('rank'),
          )
          .select(sql<number>`min(slack)`.as('least'))
          .select(sql<number>`min(found_at_ms)`.as('oldest'))
          .where(sql<boolean>`resolved_at_ms is null`)
          .where('try_at_ms', '<=', nowMs)
          .$if(except.length > 0, (query) => query.where('kind', 'not in', except))
          .groupBy('group_name')
          .orderBy('rank')
          .orderBy('least')
          .orderBy('oldest')
          .orderBy('group_name')
          .limit(limit)
        const groups = (await due.execute()).map((row) => row.group_name)
        if (groups.length === 0) return []
        const found = await db
          .selectFrom('findings')
          .selectAll()
          .where(sql<boolean>`resolved_at_ms is null`)
          .where('group_name', 'in', groups)
          .$if(except.length > 0, (query) => query.where('kind', 'not in', except))
          .orderBy('slack')
          .orderBy('found_at_ms')
          .execute()
        const byGroup = Map.groupBy(found, (row) => row.group_name)
        return groups.map((group) => ({ group, found: byGroup.get(group) ?? [] }))
      })
      return rows
        .filter(({ found }) => found.length > 0)
        .map(({ group, found }) => ({ group, findings: found.map(toFinding) }))
    },

    async postpone(group, tryAtMs) {
      await database.run('put a repair off', (db) =>
        db
          .updateTable('findings')
          .set((eb) => ({ try_at_ms: tryAtMs, tries: eb('tries', '+', 1) }))
          .where('group_name', '=', group)
          .where('resolved_at_ms', 'is', null)
          .execute(),
      )
    },

    async findingsOf(group) {
      const rows = await database.run('read findings', (db) =>
        db
          .selectFrom('findings')
          .selectAll()
          .where('group_name', '=', group)
          .where('resolved_at_ms', 'is', null)
          .orderBy('share_index')
          .orderBy('found_at_ms')
          .execute(),
      )
      return rows.map(toFinding)
    },

    async backlog() {
      const rows = await database.run('count findings', (db) =>
        db
          .selectFrom('findings')
          .select(['kind', sql<number>`count(*)`.as('count'), sql<number>`min(found_at_ms)`.as('oldest')])
          .where(sql<boolean>`resolved_at_ms is null`)
          .groupBy('kind')
          .orderBy('kind')
          .execute(),
      )
      return rows.map((row) => ({
        kind: row.kind as FindingKind,
        count: Number(row.count),
        oldestAtMs: Number(row.oldest),
      }))
    },

    async claimTask(name, nowMs, leaseMs) {
      return await database.transaction('claim a task of upkeep', async (trx) => {
        await trx
          .insertInto('upkeep_tasks')
          .values({ name, progress: '{}', fence: 0, lease_until_ms: 0 })
          .onConflict((conflict) => conflict.doNothing())
          .execute()
        const row = await trx
          .updateTable('upkeep_tasks')
          .set((eb) => ({ fence: eb('fence', '+', 1), lease_until_ms: nowMs + leaseMs }))
          .where('name', '=', name)
          .where('lease_until_ms', '<=', nowMs)
          .returningAll()
          .executeTakeFirst()
        return row && { name, fence: row.fence, progress: fromJson<TaskProgress>(row.progress) }
      })
    },

    async noteTask({ name, fence }, nowMs, leaseMs, progress) {
      const { numUpdatedRows } = await database.run('note the progress of upkeep', (db) =>
        db
          .updateTable('upkeep_tasks')
          .set({ progress: JSON.stringify(progress), lease_until_ms: leaseMs === 0 ? 0 : nowMs + leaseMs })
          .where('name', '=', name)
          .where('fence', '=', fence)
          .executeTakeFirstOrThrow(),
      )
      if (numUpdatedRows === 0n) {
        throw new MosaikError('E_LEASE_LOST', `another process goes on with the upkeep task ${name}`, { name, fence })
      }
    },

    async task(name) {
      const row = await database.run('read a task of upkeep', (db) =>
        db.selectFrom('upkeep_tasks').selectAll().where('name', '=', name).executeTakeFirst(),
      )
      return row && { name, fence: row.fence, progress: fromJson<TaskProgress>(row.progress) }
    },

    async setFlag(flag, isSet, atMs) {
      await database.run('set a flag', async (db) => {
        if (!isSet) await db.deleteFrom('upkeep_flags').where('name', '=', flag).execute()
        else {
          await db
            .insertInto('upkeep_flags')
            .values({ name: flag, at_ms: atMs })
            .onConflict((conflict) => conflict.doNothing())
            .execute()
        }
      })
    },

    async isFlagged(flag) {
      const row = await database.run('read a flag', (db) =>
        db.selectFrom('upkeep_flags').select('name').where('name', '=', flag).executeTakeFirst(),
      )
      return row !== undefined
    },
  }
}

/** All that is known of these recordings, in as many statements as for one. */
async function completed(db: Kysely<Tables>, recordings: readonly Row<'recordings'>[]): Promise<SurveyedRecording[]> {
  if (recordings.length === 0) return []
  const ids = recordings.map(({ id }) => id)
  const attempts = await db.selectFrom('attempts').selectAll().where('recording', 'in', ids).orderBy('id').execute()
  const generations = await db
    .selectFrom('generations')
    .selectAll()
    .where('recording', 'in', ids)
    .orderBy('generation')
    .execute()
  const objects = await db
    .selectFrom('objects')
    .selectAll()
    .where('recording', 'in', ids)
    .where('state', '<>', 'deleted')
    .orderBy('node')
    .orderBy('key')
    .execute()
  const receipts = await db.selectFrom('receipts').selectAll().where('recording', 'in', ids).execute()
  const running = await db
    .selectFrom('work')
    .select('recording')
    .where('recording', 'in', ids)
    .where('state', '=', 'running')
    .execute()
  const of = <T extends { recording: string | null }>(rows: readonly T[]): ((id: Id) => T[]) => {
    const byRecording = Map.groupBy(rows, (row) => row.recording)
    return (id) => byRecording.get(id) ?? []
  }
  const [attemptsOf, generationsOf, objectsOf] = [of(attempts), of(generations), of(objects)]
  return recordings.map((row) => {
    const receipt = receipts.find(({ recording }) => recording === row.id)?.receipt
    return {
      recording: toRecording(row),
      attempts: attemptsOf(row.id).map(toAttempt),
      generations: generationsOf(row.id).map(toGeneration),
      objects: objectsOf(row.id).map(toObject),
      hasRunningWork: running.some(({ recording }) => recording === row.id),
      receipt: receipt && toBytes(receipt),
    }
  })
}

function toFinding(row: Row<'findings'>): FindingRow {
  return {
    kind: row.kind as FindingKind,
    group: row.group_name,
    organisation: row.organisation,
    recording: row.recording,
    node: row.node === '' ? null : row.node,
    object: row.object === '' ? null : row.object,
    index: row.share_index,
    slack: row.slack,
    fields: fromJson(row.fields),
    foundAtMs: row.found_at_ms,
    triesCount: row.tries,
  }
}

/** Recordings of an organisation with the row of their newest manifest. */
function withManifest(db: Kysely<Tables>, organisation: Id) {
  return db
    .selectFrom('recordings')
    .innerJoin('generations', (join) =>
      join
        .onRef('generations.recording', '=', 'recordings.id')
        .onRef('generations.generation', '=', 'recordings.generation'),
    )
    .where('recordings.organisation', '=', organisation)
    .where('recordings.generation', '>', 0)
}
