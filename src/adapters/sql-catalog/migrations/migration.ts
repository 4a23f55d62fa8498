import type { DialectName } from '../database.ts'

/** One step of the schema. A released step is never changed; a new one is added after it. */
export interface Migration {
  readonly version: number
  /** In order; a statement for one database only is an object that names it. */
  readonly statements: readonly (string | Partial<Record<DialectName, string>>)[]
  /** Pieces of text that {name} stands for in the statements. */
  readonly fragments?: Readonly<Record<string, string>>
  /** The same, where the databases spell them differently. */
  readonly fragmentsOf?: Readonly<Record<DialectName, Readonly<Record<string, string>>>>
}
