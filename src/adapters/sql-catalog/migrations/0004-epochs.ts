import type { Migration } from './migration.ts'

/** Which vault key each manifest is sealed to (0: not known), and from which epoch on an organisation takes new ones. */
export const epochs: Migration = {
  version: 4,
  statements: [
    `alter table generations add column epoch {int} not null default 0`,
    `alter table organisations add column least_epoch {int} not null default 0`,
  ],
}
