import type { AuditCatalog } from '../../ports/catalog/access.ts'
import type { Database } from './database.ts'
import { fromJson } from './json.ts'

/** The record of key use; it is only ever added to. */
export function auditCatalog(database: Database): AuditCatalog {
  return {
    async addAudit(entry) {
      await database.run('write the audit record', (db) =>
        db
          .insertInto('audit')
          .values({
            at_ms: entry.atMs,
            organisation: entry.organisation,
            kind: entry.kind,
            subject: entry.subject,
            fields: JSON.stringify(entry.fields),
          })
          .execute(),
      )
    },

    async audit(organisation, limit) {
      const rows = await database.run('read the audit record', (db) =>
        db
          .selectFrom('audit')
          .select(['at_ms', 'kind', 'subject', 'fields'])
          .where('organisation', '=', organisation)
          .orderBy('at_ms', 'desc')
          .orderBy('seq', 'desc')
          .limit(limit)
          .execute(),
      )
      return rows.map((row) => ({
        atMs: row.at_ms,
        kind: row.kind,
        subject: row.subject,
        fields: fromJson(row.fields),
      }))
    },
  }
}
