import type { Migration } from './migration.ts'

/** Passcodes of links: their hash, failures in a row, and when the last one was. */
export const linkPasscodes: Migration = {
  version: 3,
  statements: [
    `alter table links add column passcode_hash text`,
    `alter table links add column passcode_failures {int} not null default 0`,
    `alter table links add column passcode_failed_at_ms {int}`,
  ],
}
