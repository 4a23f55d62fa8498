import { isMosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import { commitManifest } from '../../pipeline/commit-manifest.ts'
import type { DocumentPorts } from '../../pipeline/place-document.ts'
import { placeNewSharing, type PlacementPorts } from '../../pipeline/placement.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { Suite } from '../../ports/keyring.ts'
import type { Log } from '../../ports/system.ts'
import type { VaultReader } from '../../ports/vault-reader.ts'
import { TaskLease } from '../blind/task-lease.ts'

export interface RewrapPorts extends DocumentPorts, PlacementPorts {
  readonly catalog: Pick<Catalog, 'recordings' | 'upkeep'>
  /** Opens one manifest, and keeps nothing of it. */
  readonly open: VaultReader['open']
  readonly suite: Suite
  readonly log: Log
}

export interface Rewrapped {
  readonly rewrapped: number
  /** Recordings that could not be wrapped anew for now: their nodes are away, or somebody works on them. */
  readonly waiting: number
}

const PAGE = 100

/**
 * Wraps the manifests of an organisation that are sealed to keys of an earlier epoch anew: opens each, seals it under the epoch in force, and
 * commits it as its next generation, as any other change of a manifest. Content and its keys stay as they are. Readers find the old
 * generation or the new one, whole. What is done is known from the catalog, so it can be stopped anywhere; it goes through everything once.
 *
 * @returns `undefined` when another process is at it.
 * @throws E_LEASE_LOST
 */
export async function rewrap(
  ports: RewrapPorts,
  organisation: Id,
  options: { readonly perMinute: number },
  signal: AbortSignal,
): Promise<Rewrapped | undefined> {
  const { catalog, clock } = ports
  const lease = await TaskLease.claim({ upkeep: catalog.upkeep, clock }, `rewrap/${organisation}`)
  if (!lease) return undefined
  const done = { rewrapped: 0, waiting: 0 }
  try {
    let after: Id | undefined
    while (true) {
      const { epoch } = await ports.keyring.publicKeys(organisation)
      const page = await catalog.upkeep.sealedBeforeEpoch(organisation, epoch, after, PAGE)
      for (const recording of page) {
        signal.throwIfAborted()
        if (await rewrapOne(ports, organisation, recording, signal)) done.rewrapped++
        else done.waiting++
        await lease.beat()
        await clock.sleep(60_000 / options.perMinute, signal)
      }
      after = page.at(-1)
      if (page.length < PAGE) return done
    }
  } finally {
    await lease.end()
  }
}

async function rewrapOne(ports: RewrapPorts, organisation: Id, recording: Id, signal: AbortSignal): Promise<boolean> {
  try {
    const row = await ports.catalog.recordings.get(recording, organisation)
    if (!row) return true
    const { manifest } = await ports.open(organisation, recording, 'rewrap', signal)
    const { generation, previous: _of, ...unchanged } = manifest
    await commitManifest(
      ports,
      {
        manifest: unchanged,
        expectedStored: generation,
        suite: ports.suite,
        scheme: row.scheme,
        nodes: await placeNewSharing(ports, organisation, row.scheme),
        attempts: [],
        supersede: [],
        change: {},
        fence: undefined,
      },
      signal,
    )
    return true
  } catch (error) {
    signal.throwIfAborted()
    if (!isMosaikError(error)) throw error
    ports.log.warn('rewrap.waits', { recording, code: error.code })
    return false
  }
}
