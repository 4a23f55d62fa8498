import type { Migration } from './migration.ts'

/** Findings of scrub and readers, progress of long tasks, and what the installation must remember. */
export const upkeep: Migration = {
  version: 2,
  statements: [
    `create table findings (
      group_name text not null, kind text not null, share_index {int} not null, node text not null, object text not null,
      organisation {id} not null, recording {id}, slack {int} not null, fields text not null,
      found_at_ms {int} not null, seen_at_ms {int} not null, resolved_at_ms {int}, tries {int} not null,
      try_at_ms {int} not null, primary key (group_name, kind, share_index, node, object)){table}`,
    `create index findings_open on findings (slack, found_at_ms) where resolved_at_ms is null`,
    `create table upkeep_tasks (
      name text primary key, progress text not null, fence {int} not null, lease_until_ms {int} not null){table}`,
    `create table upkeep_flags (name text primary key, at_ms {int} not null){table}`,
  ],
}
