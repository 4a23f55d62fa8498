import { randomBytes } from 'node:crypto'
import type { Id } from '../../../src/domain/ids.ts'
import type { Catalog } from '../../../src/ports/catalog.ts'
import type { NodeRow } from '../../../src/ports/catalog/access.ts'
import type { AttemptRow, NewObject } from '../../../src/ports/catalog/layout.ts'
import type { Fence, NewRecording, WorkInput } from '../../../src/ports/catalog/recordings.ts'

/** A database of its own for one test. */
export interface CatalogUnderTest {
  readonly catalog: Catalog
  /** A second connection to the same database, as another process has it. */
  another(): Promise<Catalog>
  /** Time of the columns that no caller hands in. */
  readonly clock: { nowMs: () => number; set(ms: number): void }
  /** Rows of any statement. */
  query(sql: string): Promise<Record<string, unknown>[]>
  /** How the database would run `sql`, as text. */
  explain(sql: string): Promise<string>
}

export const day = Date.UTC(2026, 0, 15)

export function newId(): Id {
  return randomBytes(16).toString('hex')
}

export function someBytes(length = 32): Uint8Array {
  return new Uint8Array(randomBytes(length))
}

export async function organisationIn(catalog: Catalog, name = 'Nordlicht eG'): Promise<Id> {
  const id = newId()
  await catalog.installation.addOrganisation({
    id,
    name,
    scheme: { k: 3, n: 5, t: 1 },
    placementRule: 'strict',
    createdAtMs: day,
    stateGeneration: 0,
    stateSha256: null,
  })
  return id
}

export function aNode(change: Partial<NodeRow> = {}): NodeRow {
  const id = newId()
  return {
    id,
    name: `node-${id.slice(0, 8)}`,
    driver: 's3',
    state: 'active',
    country: 'DE',
    operator: `operator ${id.slice(0, 4)}`,
    parent: `parent ${id.slice(0, 4)}`,
    site: `site ${id.slice(0, 4)}`,
    settings: { endpoint: 'https://s3.example', pathStyle: true, nested: { a: [1, 2] } },
    wrappedSecret: someBytes(80),
    capabilities: { checksums: ['SHA256'], versioning: false },
    addedAtMs: day,
    ...change,
  }
}

export async function nodeIn(catalog: Catalog, change: Partial<NodeRow> = {}): Promise<NodeRow> {
  const node = aNode(change)
  await catalog.installation.addNode(node)
  return node
}

export const fileInput: WorkInput = {
  kind: 'file',
  path: '/inbox/meeting.mp4',
  sizeBytes: 5_000_000_000_000,
  modifiedAtMs: day - 5000,
  deleteAfterReceipt: true,
  captions: [],
  sha256: null,
  people: {
    hostName: 'Zoë Fingerhut',
    hostEmail: 'zoe@example.org',
    participants: [{ name: 'Ödön', email: null }],
  },
}

export function aRecording(organisation: Id, change: Partial<NewRecording> = {}): NewRecording {
  return {
    id: newId(),
    organisation,
    title: 'Weekly meeting',
    hostId: 'host-1',
    sourceKind: 'file',
    externalId: null,
    startedAtMs: day - 3_600_000,
    scheme: { k: 3, n: 5, t: 1 },
    atMs: day,
    work: { id: newId(), stage: 'store', input: fileInput },
    ...change,
  }
}

/** An organisation with one recording whose `store` is claimed. */
export async function storing(
  catalog: Catalog,
  change: Partial<NewRecording> = {},
): Promise<{ organisation: Id; recording: Id; work: Id; fence: Fence }> {
  const organisation = change.organisation ?? (await organisationIn(catalog))
  const recording = aRecording(organisation, change)
  await catalog.recordings.create(recording)
  const claimed = await catalog.work.claim(recording.work.id, day, 60_000)
  if (!claimed) throw new Error('the fixture could not claim its work')
  return {
    organisation,
    recording: recording.id,
    work: recording.work.id,
    fence: { work: recording.work.id, fence: claimed.fence },
  }
}

export function anAttempt(organisation: Id, recording: Id, change: Partial<AttemptRow> = {}): AttemptRow {
  return {
    id: newId(),
    organisation,
    recording,
    asset: newId(),
    kind: 'original',
    state: 'writing',
    wrappedVerifyKey: someBytes(100),
    sealedBytes: null,
    scheme: { k: 3, n: 5, t: 1 },
    ...change,
  }
}

export function aFragment(
  attempt: Pick<AttemptRow, 'id' | 'organisation' | 'recording'>,
  node: Id,
  sharing: Id,
  index: number,
  change: Partial<NewObject> = {},
): NewObject {
  return {
    node,
    key: `f/${newId()}`,
    organisation: attempt.organisation,
    recording: attempt.recording,
    role: { kind: 'fragment', attempt: attempt.id, extent: 0 },
    sharing,
    index,
    createdAtMs: day,
    ...change,
  }
}

export function aManifestShare(
  recording: { organisation: Id; recording: Id },
  generation: number,
  node: Id,
  sharing: Id,
  index: number,
): NewObject {
  return {
    node,
    key: `m/${newId()}`,
    organisation: recording.organisation,
    recording: recording.recording,
    role: { kind: 'manifest', generation },
    sharing,
    index,
    createdAtMs: day,
  }
}

/** What a promise ends with: its value, or the code of its error. */
export async function outcome<T>(promise: Promise<T>): Promise<T | string> {
  return await promise.catch((error: unknown) => String((error as { code?: unknown }).code ?? error))
}
