import type { Transaction } from 'kysely'
import { MosaikError } from '../../domain/errors.ts'
import type { Fence } from '../../ports/catalog/recordings.ts'
import type { Database } from './database.ts'
import type { Tables } from './schema.ts'

/**
 * Begins a fenced transaction: its first statement, so that every one locks work before anything else. Until it ends
 * nobody else can claim the work.
 * @throws E_LEASE_LOST when somebody else has claimed it, or it is finished.
 */
export async function holdFence(database: Database, trx: Transaction<Tables>, fence: Fence): Promise<void> {
  const held = await trx
    .selectFrom('work')
    .select('id')
    .where('id', '=', fence.work)
    .where('fence', '=', fence.fence)
    .where('state', '=', 'running')
    .$if(database.dialect === 'postgres', (query) => query.forNoKeyUpdate())
    .executeTakeFirst()
  if (!held) throw leaseLost(fence)
}

/** The error of every fenced write that came too late. */
export function leaseLost(fence: Fence): MosaikError {
  return new MosaikError(
    'E_LEASE_LOST',
    `work ${fence.work} is no longer held under fence ${fence.fence}: somebody else has claimed it, or it is finished`,
    { work: fence.work, fence: fence.fence },
  )
}
