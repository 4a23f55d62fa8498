import type { Migration } from './migration.ts'

/** What a rebuild read in an organisation's state and only the state says: who held shares once, policies, holds, tombstones. */
export const stateMemory: Migration = {
  version: 7,
  statements: [
    `create table past_exposures (
      organisation {id} not null, sharing {id} not null, share_index {int} not null, node {id} not null,
      operator text not null, parent text not null, site text not null,
      primary key (sharing, share_index, node, operator, parent, site)){table}`,
    `create table state_entries (
      organisation {id} not null, kind text not null, id {id} not null, entry text not null,
      primary key (organisation, kind, id)){table}`,
    `create index objects_past on objects (organisation)
      where recording is not null and state in ('failed', 'superseded', 'deleted')`,
  ],
}
