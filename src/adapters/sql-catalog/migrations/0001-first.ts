import type { Migration } from './migration.ts'

/**
 * The first schema. One text for both databases; {braces} stand for what they spell differently.
 *
 * Indexes are for a million recordings: each list the ports offer reads one index in its order; the partial ones stay as
 * small as the work that is open.
 */
export const first: Migration = {
  version: 1,
  statements: [
    `create table installation (singleton {int} primary key check (singleton = 1), id {id} not null){table}`,

    `create table organisations (
      id {id} primary key, name text not null, scheme text not null, placement_rule text not null,
      created_at_ms {int} not null, state_generation {int} not null, state_sha256 {bytes}){table}`,

    `create table cards (
      organisation {id} not null references organisations (id), epoch {int} not null, card {bytes} not null,
      primary key (organisation, epoch)){table}`,

    `create table nodes (
      id {id} primary key, name text not null unique, driver text not null, state text not null, country text not null,
      operator text not null, parent text not null, site text not null, owner_epoch {int} not null,
      settings text not null, wrapped_secret {bytes}, capabilities text not null, added_at_ms {int} not null){table}`,

    `create table node_owners (
      node {id} not null references nodes (id), epoch {int} not null,
      operator text not null, parent text not null, site text not null, primary key (node, epoch)){table}`,

    {
      sqlite: `create table recordings (seq integer primary key, {recordings}) strict`,
      // Words come folded from title-words.ts, so that both databases find the same; PostgreSQL's own parser is not asked.
      postgres: `create table recordings ({recordings}, title_terms tsvector generated always as
        (array_to_tsvector(string_to_array(ltrim(title_words, ' '), ' '))) stored)`,
    },
    `create unique index recordings_external on recordings (organisation, source_kind, external_id)
      where external_id is not null`,
    `create index recordings_newest on recordings (organisation, created_at_ms desc, id desc)`,
    `create index recordings_newest_of_state on recordings (organisation, state, created_at_ms desc, id desc)`,
    `create index recordings_newest_of_host on recordings (organisation, host_id, created_at_ms desc, id desc)`,
    { postgres: `create index recordings_title on recordings using gin (title_terms)` },
    {
      sqlite: `create virtual table recordings_title using fts5 (organisation, title_words,
        content = 'recordings', content_rowid = 'seq', tokenize = 'ascii', detail = 'column')`,
    },
    {
      sqlite: `create trigger recordings_title_insert after insert on recordings begin
        insert into recordings_title (rowid, organisation, title_words) values (new.seq, new.organisation, new.title_words);
      end`,
    },
    {
      sqlite: `create trigger recordings_title_delete after delete on recordings begin
        insert into recordings_title (recordings_title, rowid, organisation, title_words)
          values ('delete', old.seq, old.organisation, old.title_words);
      end`,
    },
    {
      sqlite: `create trigger recordings_title_update after update of organisation, title_words on recordings begin
        insert into recordings_title (recordings_title, rowid, organisation, title_words)
          values ('delete', old.seq, old.organisation, old.title_words);
        insert into recordings_title (rowid, organisation, title_words) values (new.seq, new.organisation, new.title_words);
      end`,
    },

    `create table receipts (recording {id} primary key references recordings (id), receipt {bytes} not null,
      at_ms {int} not null){table}`,

    `create table events (seq {serial}, recording {id} not null references recordings (id), at_ms {int} not null,
      kind text not null, fields text not null){table}`,
    `create index events_of_recording on events (recording, at_ms, seq)`,

    `create table work (
      id {id} primary key, recording {id} not null references recordings (id), organisation {id} not null,
      stage text not null, state text not null, input text not null, attempts_count {int} not null,
      run_at_ms {int} not null, lease_until_ms {int}, fence {int} not null, done_units {int} not null,
      total_units {int}, error text, due_at_ms {int}){table}`,
    `create unique index work_standing on work (recording, stage) where state <> 'failed'`,
    `create index work_of_recording on work (recording)`,
    `create index work_due on work (due_at_ms, id) where due_at_ms is not null`,

    `create table attempts (
      id {id} primary key, organisation {id} not null, recording {id} not null references recordings (id),
      asset {id} not null, kind text not null, state text not null, wrapped_verify_key {bytes} not null,
      sealed_bytes {int}, scheme text not null){table}`,
    `create index attempts_of_recording on attempts (recording, state)`,

    `create table generations (
      recording {id} not null references recordings (id), generation {int} not null, state text not null,
      sharing {id}, sealed_sha256 {bytes}, primary key (recording, generation)){table}`,

    `create table objects (
      node {id} not null references nodes (id), key text not null, organisation {id} not null,
      recording {id} references recordings (id), kind text not null, attempt {id} references attempts (id),
      extent {int}, generation {int}, sharing {id}, share_index {int} not null, state text not null, size_bytes {int},
      created_at_ms {int} not null, changed_at_ms {int} not null, first_epoch {int} not null, last_epoch {int},
      primary key (node, key)){table}`,
    `create index objects_of_attempt on objects (attempt, extent, share_index) where attempt is not null`,
    `create index objects_of_recording on objects (recording, generation) where recording is not null`,
    `create index objects_of_sharing on objects (sharing) where sharing is not null`,
    `create index objects_of_organisation on objects (organisation, kind) where kind in ('state', 'card')`,
    `create index objects_collectable on objects (changed_at_ms) where state in ('failed', 'superseded')`,
    `create index objects_begun on objects (created_at_ms) where state = 'intent'`,
    `create index objects_usage on objects (node, size_bytes) where state in ('stored', 'superseded')`,

    `create table links (
      id {id} primary key, organisation {id} not null, recording {id} not null references recordings (id),
      created_at_ms {int} not null, expires_at_ms {int} not null, revoked_at_ms {int}, views_count {int} not null,
      max_views {int}, allow_download {int} not null){table}`,
    `create index links_of_recording on links (recording, created_at_ms)`,
    `create index links_revoked on links (organisation) where revoked_at_ms is not null`,

    `create table link_sessions (grant_sha256 {bytes} primary key, link {id} not null references links (id),
      expires_at_ms {int} not null){table}`,
    `create index link_sessions_of_link on link_sessions (link)`,
    `create index link_sessions_end on link_sessions (expires_at_ms)`,

    `create table tokens (
      id {id} primary key, organisation {id} not null references organisations (id), role text not null,
      name text not null, token_sha256 {bytes} not null unique, created_at_ms {int} not null, revoked_at_ms {int}){table}`,
    `create index tokens_of_organisation on tokens (organisation, created_at_ms)`,

    `create table uploads (
      id {id} primary key, organisation {id} not null, owner {id} not null, state text not null, length_bytes {int},
      offset_bytes {int} not null, metadata text not null, recording {id}, created_at_ms {int} not null,
      updated_at_ms {int} not null){table}`,
    `create index uploads_in_state on uploads (state, updated_at_ms)`,

    `create table audit (seq {serial}, at_ms {int} not null, organisation {id} not null, kind text not null,
      subject {id}, fields text not null){table}`,
    `create index audit_of_organisation on audit (organisation, at_ms desc, seq desc)`,
  ],
  fragments: {
    recordings: `id {id} not null unique, organisation {id} not null references organisations (id), state text not null,
      title text not null, title_words text not null, host_id text not null, source_kind text not null, external_id text,
      started_at_ms {int}, created_at_ms {int} not null, updated_at_ms {int} not null, stored_at_ms {int},
      content_bytes {int}, duration_ms {int}, scheme text not null, generation {int} not null, reason text`,
  },
}
