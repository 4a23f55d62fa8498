import type { AuditCatalog, InstallationCatalog, LinkCatalog, TokenCatalog, UploadCatalog } from './catalog/access.ts'
import type { LayoutCatalog } from './catalog/layout.ts'
import type { UpkeepCatalog } from './catalog/upkeep.ts'
import type { RecordingCatalog, WorkCatalog } from './catalog/recordings.ts'

/**
 * The catalog: truth beside the nodes. Every implementation passes `test/contract/catalog`. Writes are durable when the
 * promise resolves. It holds no DEK, no wrapped DEK, no document key, no link token.
 */
export interface Catalog {
  readonly installation: InstallationCatalog
  readonly recordings: RecordingCatalog
  readonly work: WorkCatalog
  readonly layout: LayoutCatalog
  readonly links: LinkCatalog
  readonly tokens: TokenCatalog
  readonly uploads: UploadCatalog
  readonly audit: AuditCatalog
  readonly upkeep: UpkeepCatalog
  /** Brings the schema up to this release. Safe to call from several processes at once. @throws E_CONFIG when the schema is newer than this release. */
  migrate(): Promise<void>
  /** Resolves when the catalog answers. */
  ping(): Promise<void>
  close(): Promise<void>
}
