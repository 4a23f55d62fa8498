import { checkScheme, type Scheme } from '../domain/dispersal.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { acceptsWrites, type NodeState } from '../domain/node.ts'
import { choosePlacement } from '../domain/placement.ts'
import { MARKER_NAME } from '../format/object-names.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { NodeRow } from '../ports/catalog/access.ts'
import type { AtRestVault } from '../ports/keyring.ts'
import type { NodeCapabilities, NodeDriver, NodeSettings } from '../ports/node-driver.ts'
import type { NodeLife, NodeProgress } from '../ports/node-life.ts'
import type { Clock } from '../ports/system.ts'
import { shareGroups } from '../upkeep/blind/share-groups.ts'
import { checkMarker } from './node-marker-check.ts'
import { checkOwnership, tidyOwnership } from './node-ownership.ts'
import type { CatalogNodePool } from './node-pool.ts'
import { joinNodeSettings, splitNodeSettings } from './node-settings.ts'
import { rebalanceControl } from './rebalance-control.ts'
import { askUpkeep, REPAIR_BYTES_PER_SECOND, SURVEY_REQUEST } from './upkeep-requests.ts'

export interface NodeLifePorts {
  readonly catalog: Catalog
  readonly installationId: Id
  readonly atRest: AtRestVault
  readonly driver: NodeDriver
  readonly pool: CatalogNodePool
  readonly clock: Clock
  /** The organisations' states have to be written anew. */
  readonly nodesChanged: () => void
}

const PROBE_TIMEOUT_MS = 120_000
const CALL_TIMEOUT_MS = 30_000

/** What becomes of nodes while the vault runs: the catalog says it, and every process acts on it within seconds. */
export function createNodeLife(ports: NodeLifePorts): NodeLife {
  const { catalog, pool, clock } = ports
  const { installation, layout, upkeep } = catalog

  const find = async (id: Id): Promise<NodeRow> => {
    const row = await installation.node(id)
    if (!row) throw new MosaikError('E_NODE_UNKNOWN', 'there is no such node', { node: id })
    return row
  }
  const refuse = (row: NodeRow, from: readonly NodeState[], wish: string): void => {
    if (from.includes(row.state)) return
    throw new MosaikError('E_CONFLICT', `node ${row.name} is ${row.state}: it cannot ${wish}`, { node: row.id })
  }
  const setState = async (id: Id, state: NodeState): Promise<void> => {
    await installation.setNodeState(id, state)
    pool.refresh()
    ports.nodesChanged()
  }
  /** In words, what has to be added before new sharings of these organisations find their place. */
  const obstacle = async (concerned: readonly Id[]): Promise<string | null> => {
    const nodes = (await installation.nodes()).filter(acceptsWrites)
    const organisations = await installation.organisations()
    for (const { id, name, scheme, placementRule } of organisations) {
      if (!concerned.includes(id)) continue
      try {
        choosePlacement(scheme, placementRule, nodes)
      } catch (error) {
        if (!isMosaikError(error)) throw error
        return organisations.length === 1 ? error.message : `${name}: ${error.message}`
      }
    }
    return null
  }
  /** What a node can do when it is reached so. @throws when it cannot be used, or is another one */
  const tried = async (row: NodeRow, settings: NodeSettings): Promise<NodeCapabilities> => {
    const capabilities = await ports.driver.probe(settings, AbortSignal.timeout(PROBE_TIMEOUT_MS))
    const store = await ports.driver.open(settings, capabilities, { label: row.name })
    try {
      await checkMarker(row, ports.installationId, store, ports.clock)
    } finally {
      await store.close()
    }
    return capabilities
  }
  const largest = async (pick: (scheme: Scheme) => number): Promise<number> =>
    Math.max(2, ...(await installation.organisations()).map(({ scheme }) => pick(scheme)))

  return {
    ...rebalanceControl(ports),

    async change(id, { state, ...given }) {
      const row = await find(id)
      refuse(row, ['active', 'read-only', 'draining'], 'be changed')
      const { country, operator, parent, site } = row
      const before = { country, operator, parent, site }
      const after = {
        country: given.country ?? country,
        operator: given.operator ?? operator,
        parent: given.parent ?? parent,
        site: given.site ?? site,
      }
      if (state !== undefined) refuse(row, ['active', 'read-only'], `become ${state}; pause its drain first`)
      if (JSON.stringify(before) !== JSON.stringify(after)) {
        checkOwnership(after)
        await installation.setNodeOwnership(id, tidyOwnership(after))
      }
      if (state !== undefined && state !== row.state) await installation.setNodeState(id, state)
      pool.refresh()
      ports.nodesChanged()
    },

    async setCredentials(id, credentials) {
      const row = await find(id)
      refuse(row, ['active', 'read-only', 'draining'], 'get other credentials')
      if (row.driver !== 's3') {
        throw new MosaikError('E_INPUT', `node ${row.name} is a folder: it has no credentials`, { node: id })
      }
      const { secret } = splitNodeSettings(
        joinNodeSettings(row.settings, new TextEncoder().encode(JSON.stringify(credentials))),
      )
      const settings = joinNodeSettings(row.settings, secret)
      const capabilities = await tried(row, settings).catch((error: unknown) => {
        if (!isMosaikError(error)) throw error
        const words = `the new credentials of node ${row.name} do not do, and the ones before stay in use: ${error.message}`
        throw new MosaikError(error.code, words, error.fields, error.cause)
      })
      await installation.setNodeCapabilities(id, capabilities)
      await installation.setNodeSecret(id, secret && (await ports.atRest.wrapAtRest(id, secret)))
      pool.refresh()
    },

    async drain(id) {
      refuse(await find(id), ['active', 'read-only', 'draining'], 'be drained')
      await setState(id, 'draining')
    },

    async pauseDrain(id) {
      refuse(await find(id), ['draining'], 'pause a drain')
      await setState(id, 'read-only')
    },

    async dismiss(id) {
      const row = await find(id)
      refuse(row, ['active', 'read-only', 'draining', 'dismissed'], 'be dismissed')
      await upkeep.setFlag('dismissal-paused', false, clock.nowMs())
      if (row.state === 'dismissed') return
      await setState(id, 'dismissed')
      // Their deletion is tried, as that of all that lies there; nothing relies on it.
      for (const { id: organisation } of await installation.organisations()) {
        for (const { node, key } of await layout.organisationObjects(organisation, 'card')) {
          if (node === id) await layout.setObjectState(node, key, 'superseded')
        }
      }
    },

    async pauseDismissals() {
      await upkeep.setFlag('dismissal-paused', true, clock.nowMs())
    },

    async remove(id) {
      const row = await find(id)
      if (row.state === 'removed') return
      refuse(row, ['read-only', 'draining'], 'be removed; drain it first')
      const { objectsCount, undeletedObjects } = await layout.nodeShares(id)
      if (undeletedObjects > 0) {
        const waiting = undeletedObjects - objectsCount
        throw new MosaikError(
          'E_CONFLICT',
          `node ${row.name} is not empty: ${objectsCount} shares lie there that count` +
            (objectsCount > 0 ? ' (`mosaik nodes drain` moves them)' : '') +
            `, and ${waiting} objects wait for their deletion, which comes 15 minutes after they are not wanted any more`,
          { node: id, shares: objectsCount, waiting },
        )
      }
      const store = await pool.store(id)
      for (const { id: organisation } of await installation.organisations()) {
        for (const { node, key } of await layout.organisationObjects(organisation, 'card')) {
          if (node !== id) continue
          await store.delete(key, AbortSignal.timeout(CALL_TIMEOUT_MS))
          await layout.setObjectState(node, key, 'deleted')
        }
      }
      await installation.setNodeState(id, 'removed')
      // Last: without it nobody could go on after a crash. A marker that stays only keeps the place from being used again.
      await store.delete(MARKER_NAME, AbortSignal.timeout(CALL_TIMEOUT_MS)).catch((error: unknown) => {
        if (!isMosaikError(error)) throw error
      })
      pool.refresh()
      ports.nodesChanged()
    },

    async progress(id): Promise<NodeProgress> {
      const { name, state } = await find(id)
      const shares = await layout.nodeShares(id)
      const usage = (await layout.nodeUsage()).find(({ node }) => node === id)
      const isDismissed = state === 'dismissed'
      const isPaused = isDismissed && (await upkeep.isFlagged('dismissal-paused'))
      const bytes = isDismissed
        ? shares.exposedBytes * (await largest(({ k, n }) => k + 1 + n))
        : state === 'draining'
          ? shares.bytes * (await largest(({ k }) => k + 1))
          : 0
      const isLeft = isDismissed ? shares.exposedSharings > 0 : shares.objectsCount > 0
      return {
        ...{ node: id, name, state, isPaused },
        objectsLeft: usage?.objectsCount ?? 0,
        bytesLeft: usage?.bytes ?? 0,
        sharesWaiting: shares.objectsCount,
        sharingsExposed: shares.exposedSharings,
        undeletedObjects: shares.undeletedObjects,
        etaMs: bytes === 0 || isPaused ? null : Math.ceil((bytes * 1000) / REPAIR_BYTES_PER_SECOND),
        waitsFor: isLeft && (isDismissed || state === 'draining') ? await obstacle(shares.organisations) : null,
      }
    },

    async reshare({ organisation, recording }, scheme) {
      const owner = await installation.organisation(organisation)
      if (!owner) throw new MosaikError('E_INPUT', 'the organisation is gone')
      if (scheme) {
        checkScheme(scheme)
        choosePlacement(scheme, owner.placementRule, (await installation.nodes()).filter(acceptsWrites))
      }
      await upkeep.setFlag('reshare-paused', false, clock.nowMs())
      if (recording === undefined) {
        if (!scheme) throw new MosaikError('E_INPUT', 'all recordings can be given another scheme: say which')
        const count = await layout.setScheme({ organisation }, scheme, clock.nowMs())
        await askUpkeep(upkeep, SURVEY_REQUEST, clock.nowMs(), {})
        return count
      }
      const one = await upkeep.surveyed(recording)
      if (one?.recording.organisation !== organisation) {
        throw new MosaikError('E_RECORDING_UNKNOWN', 'there is no such recording')
      }
      if (scheme) await layout.setScheme({ organisation, recording }, scheme, clock.nowMs())
      const kind = scheme ? ('scheme' as const) : ('refresh' as const)
      const whole = { node: null, object: null, index: -1, slack: 0, fields: {} }
      await upkeep.report(
        shareGroups(one).map(({ name }) => ({ ...whole, kind, group: name, organisation, recording })),
        clock.nowMs(),
      )
      return 1
    },

    async pauseReshares(isPaused) {
      await upkeep.setFlag('reshare-paused', isPaused, clock.nowMs())
    },

    async reshareProgress() {
      const kinds = ['violation', 'exposed', 'scheme', 'refresh']
      const waiting = (await upkeep.backlog())
        .filter(({ kind }) => kinds.includes(kind))
        .map(({ kind, count }) => ({ kind, count }))
      const isPaused = await upkeep.isFlagged('reshare-paused')
      const usage = await layout.nodeUsage()
      const objects = usage.reduce((sum, { objectsCount }) => sum + objectsCount, 0)
      const bytes = usage.reduce((sum, one) => sum + one.bytes, 0) / Math.max(1, objects)
      const groups = waiting.reduce((sum, { count }) => sum + count, 0)
      const cost = groups * bytes * (await largest(({ k, n }) => k + 1 + n))
      return {
        ...{ isPaused, waiting },
        etaMs: groups === 0 ? null : Math.ceil((cost * 1000) / REPAIR_BYTES_PER_SECOND),
      }
    },
  }
}
