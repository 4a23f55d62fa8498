import type { Role } from '../../domain/roles.ts'
import type { TokenCatalog, TokenRow } from '../../ports/catalog/access.ts'
import type { Database } from './database.ts'
import { toBytes } from './json.ts'
import type { Row } from './schema.ts'

/** API tokens, by their hash. */
export function tokenCatalog(database: Database): TokenCatalog {
  return {
    async addToken(token) {
      await database.run('add a token', (db) =>
        db
          .insertInto('tokens')
          .values({
            id: token.id,
            organisation: token.organisation,
            role: token.role,
            name: token.name,
            token_sha256: token.tokenSha256,
            created_at_ms: token.createdAtMs,
            revoked_at_ms: token.revokedAtMs,
          })
          .execute(),
      )
    },

    async tokenByHash(tokenSha256) {
      const row = await database.run('look a token up', (db) =>
        db.selectFrom('tokens').selectAll().where('token_sha256', '=', tokenSha256).executeTakeFirst(),
      )
      return row && toToken(row)
    },

    async token(id) {
      const row = await database.run('read a token', (db) =>
        db.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst(),
      )
      return row && toToken(row)
    },

    async tokens(organisation) {
      const rows = await database.run('list tokens', (db) =>
        db
          .selectFrom('tokens')
          .selectAll()
          .where('organisation', '=', organisation)
          .orderBy('created_at_ms')
          .orderBy('id')
          .execute(),
      )
      return rows.map(toToken)
    },

    async revokeToken(id, atMs) {
      await database.run('revoke a token', (db) =>
        db
          .updateTable('tokens')
          .set({ revoked_at_ms: atMs })
          .where('id', '=', id)
          .where('revoked_at_ms', 'is', null)
          .execute(),
      )
    },

    async renewToken(id, tokenSha256) {
      await database.run('renew a token', (db) =>
        db.updateTable('tokens').set({ token_sha256: tokenSha256, revoked_at_ms: null }).where('id', '=', id).execute(),
      )
    },
  }
}

function toToken(row: Row<'tokens'>): TokenRow {
  return {
    id: row.id,
    organisation: row.organisation,
    role: row.role as Role,
    name: row.name,
    tokenSha256: toBytes(row.token_sha256),
    createdAtMs: row.created_at_ms,
    revokedAtMs: row.revoked_at_ms,
  }
}
