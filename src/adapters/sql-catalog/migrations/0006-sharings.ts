import type { Migration } from './migration.ts'

/** The scheme of an object's sharing, where it is not the one that its attempt was written with. */
export const sharings: Migration = {
  version: 6,
  statements: [`alter table objects add column scheme text`],
}
