import type { Migration } from './migration.ts'

/** How many of the failures were found wrong; the others are being checked. What was counted before is taken for wrong. */
export const wrongPasscodes: Migration = {
  version: 9,
  statements: [
    `alter table links add column passcode_wrong {int} not null default 0`,
    `update links set passcode_wrong = passcode_failures`,
  ],
}
