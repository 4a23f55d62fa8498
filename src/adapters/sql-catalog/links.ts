import { sql, type RawBuilder, type SqlBool } from 'kysely'
import type { Link } from '../../domain/link.ts'
import type { LinkCatalog } from '../../ports/catalog/access.ts'
import type { Database } from './database.ts'
import type { Row } from './schema.ts'

/** Links and the sessions that came of them. */
export function linkCatalog(database: Database): LinkCatalog {
  return {
    async addLink(link) {
      await database.run('add a link', (db) =>
        db
          .insertInto('links')
          .values({
            id: link.id,
            organisation: link.organisation,
            recording: link.recording,
            created_at_ms: link.createdAtMs,
            expires_at_ms: link.expiresAtMs,
            revoked_at_ms: null,
            views_count: 0,
            max_views: link.maxViews,
            allow_download: link.allowDownload ? 1 : 0,
            passcode_hash: link.passcodeHash,
          })
          .execute(),
      )
    },

    async link(id) {
      const row = await database.run('read a link', (db) =>
        db.selectFrom('links').selectAll().where('id', '=', id).executeTakeFirst(),
      )
      return row && toLink(row)
    },

    async links(recording) {
      const rows = await database.run('list links', (db) =>
        db
          .selectFrom('links')
          .selectAll()
          .where('recording', '=', recording)
          .orderBy('created_at_ms')
          .orderBy('id')
          .execute(),
      )
      return rows.map(toLink)
    },

    async revokeLink(id, atMs) {
      await database.transaction('revoke a link', async (trx) => {
        // The first statement locks the row: an exchange is either before it, and its session is deleted, or refused.
        await trx
          .updateTable('links')
          .set((eb) => ({ revoked_at_ms: eb.fn.coalesce('revoked_at_ms', eb.val(atMs)) }))
          .where('id', '=', id)
          .execute()
        await trx.deleteFrom('link_sessions').where('link', '=', id).execute()
      })
    },

    async beginPasscode(link, { maxFailures, lockMs, checkMs }, nowMs) {
      const forgotten = sql<SqlBool>`(passcode_failed_at_ms is null or passcode_failed_at_ms <= ${nowMs - lockMs})`
      return await database.transaction('check a passcode', async (trx) => {
        const counted = await trx
          .updateTable('links')
          .set({
            passcode_failures: sql<number>`case when ${forgotten} then 1 else passcode_failures + 1 end`,
            passcode_wrong: sql<number>`case when ${forgotten} then 0 else passcode_wrong end`,
            passcode_failed_at_ms: nowMs,
          })
          .where('id', '=', link)
          .where('passcode_hash', 'is not', null)
          .where(isLive(nowMs))
          .where((eb) => eb.or([forgotten, eb('passcode_failures', '<', maxFailures)]))
          .returning('passcode_hash')
          .executeTakeFirst()
        if (counted) return { kind: 'open', passcodeHash: counted.passcode_hash ?? '' }
        const full = await trx
          .selectFrom('links')
          .select(['passcode_failed_at_ms', 'passcode_wrong'])
          .where('id', '=', link)
          .where('passcode_hash', 'is not', null)
          .where(isLive(nowMs))
          .executeTakeFirst()
        if (full === undefined) return undefined
        const lastAtMs = full.passcode_failed_at_ms ?? nowMs
        const isBusy = full.passcode_wrong < maxFailures && nowMs - lastAtMs < checkMs
        return isBusy ? { kind: 'busy' } : { kind: 'locked', untilMs: lastAtMs + lockMs }
      })
    },

    async endPasscode(link, outcome) {
      const change =
        outcome === 'wrong'
          ? { passcode_wrong: sql<number>`passcode_wrong + 1` }
          : { passcode_failures: sql<number>`passcode_failures - 1` }
      // Never more wrong ones than attempts: in between all may have been forgotten.
      await database.run('end the check of a passcode', (db) =>
        db
          .updateTable('links')
          .set(change)
          .where('id', '=', link)
          .whereRef('passcode_wrong', '<', 'passcode_failures')
          .execute(),
      )
    },

    async exchange(link, session, nowMs, passcodeHash = null) {
      return await database.transaction('open a link', async (trx) => {
        const counted = await trx
          .updateTable('links')
          .set((eb) => ({
            views_count: eb('views_count', '+', 1),
            passcode_failures: sql<number>`case when passcode_failures > passcode_wrong then passcode_failures - 1
              else passcode_failures end`,
          }))
          .where('id', '=', link)
          .where('passcode_hash', passcodeHash === null ? 'is' : '=', passcodeHash)
          .where(isLive(nowMs))
          .returning('expires_at_ms')
          .executeTakeFirst()
        if (!counted) return false
        await trx
          .insertInto('link_sessions')
          .values({
            grant_sha256: session.grantSha256,
            link,
            expires_at_ms: Math.min(session.expiresAtMs, counted.expires_at_ms),
          })
          .execute()
        return true
      })
    },

    async session(grantSha256, nowMs) {
      const row = await database.run('look a session up', (db) =>
        db
          .selectFrom('link_sessions')
          .innerJoin('links', 'links.id', 'link_sessions.link')
          .selectAll('links')
          .select('link_sessions.expires_at_ms as session_ends_at_ms')
          .where('link_sessions.grant_sha256', '=', grantSha256)
          .where('link_sessions.expires_at_ms', '>', nowMs)
          .where('links.revoked_at_ms', 'is', null)
          .where('links.expires_at_ms', '>', nowMs)
          .executeTakeFirst(),
      )
      return row && { link: toLink(row), expiresAtMs: row.session_ends_at_ms }
    },

    async prolongSession(grantSha256, expiresAtMs) {
      await database.run('prolong a session', (db) =>
        db
          .updateTable('link_sessions')
          .set({
            expires_at_ms: sql<number>`(select case when expires_at_ms < ${expiresAtMs} then expires_at_ms
              else cast(${expiresAtMs} as bigint) end from links where links.id = link_sessions.link)`,
          })
          .where('grant_sha256', '=', grantSha256)
          .where('expires_at_ms', '<', expiresAtMs)
          .execute(),
      )
    },

    async revokedLinks(organisation) {
      const rows = await database.run('list revoked links', (db) =>
        db
          .selectFrom('links')
          .select('id')
          .where('organisation', '=', organisation)
          .where('revoked_at_ms', 'is not', null)
          .orderBy('id')
          .execute(),
      )
      return rows.map((row) => row.id)
    },

    async dropExpiredSessions(nowMs) {
      await database.run('drop expired sessions', (db) =>
        db.deleteFrom('link_sessions').where('expires_at_ms', '<=', nowMs).execute(),
      )
    },
  }
}

/** Not revoked, not expired, not spent. */
function isLive(nowMs: number): RawBuilder<SqlBool> {
  return sql<SqlBool>`(revoked_at_ms is null and expires_at_ms > ${nowMs} and (max_views is null or views_count < max_views))`
}

function toLink(row: Row<'links'>): Link {
  return {
    id: row.id,
    organisation: row.organisation,
    recording: row.recording,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
    revokedAtMs: row.revoked_at_ms,
    viewsCount: row.views_count,
    maxViews: row.max_views,
    allowDownload: row.allow_download === 1,
    hasPasscode: row.passcode_hash !== null,
  }
}
