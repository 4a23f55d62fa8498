import { MAX_N } from '../domain/dispersal.ts'
import { fromHex } from '../domain/ids.ts'
import type {
  ExposureEntry,
  HoldEntry,
  NodeEntry,
  OrganisationState,
  PolicyEntry,
  TombstoneEntry,
} from '../domain/organisation-state.ts'
import {
  readArray,
  readBytesOf,
  readId,
  readInteger,
  readMap,
  readNullable,
  readText,
  requireField,
  type Read,
} from './cbor-fields.ts'
import { decodeCbor, encodeCbor, wellFormed } from './cbor.ts'

/**
 * The body of a state document: CBOR with exactly the keys of docs/FORMAT.md §12.
 *
 * @throws E_FORMAT_CBOR, E_FORMAT_FIELD: what is written can be read.
 */
export function encodeState(state: OrganisationState): Uint8Array<ArrayBuffer> {
  const bytes = encodeCbor(
    wellFormed({
      organisation: fromHex(state.organisation),
      generation: state.generation,
      previous: state.previous,
      writtenAtMs: state.writtenAtMs,
      nodes: state.nodes.map((node) => ({
        id: fromHex(node.id),
        name: node.name,
        driver: node.driver,
        location: node.location,
        country: node.country,
        operator: node.operator,
        parent: node.parent,
        site: node.site,
        state: node.state,
      })),
      exposures: state.exposures.map((exposure) => ({
        sharing: fromHex(exposure.sharing),
        index: exposure.index,
        node: fromHex(exposure.node),
        operator: exposure.operator,
        parent: exposure.parent,
        site: exposure.site,
      })),
      policies: state.policies.map((policy) => ({
        id: fromHex(policy.id),
        name: policy.name,
        mode: policy.mode,
        retainMs: policy.retainMs,
        deleteAfterMs: policy.deleteAfterMs,
      })),
      holds: state.holds.map((hold) => ({
        id: fromHex(hold.id),
        recording: fromHex(hold.recording),
        name: hold.name,
        placedBy: hold.placedBy,
        placedAtMs: hold.placedAtMs,
      })),
      tombstones: state.tombstones.map((tombstone) => ({
        recording: fromHex(tombstone.recording),
        decidedAtMs: tombstone.decidedAtMs,
        reason: tombstone.reason,
      })),
      revokedLinks: state.revokedLinks.map(fromHex),
    }),
  )
  decodeState(bytes)
  return bytes
}

const readNode: Read<NodeEntry> = (value, what) =>
  readMap<NodeEntry>(value, what, {
    id: readId,
    name: readText,
    driver: readText,
    location: readText,
    country: readText,
    operator: readText,
    parent: readText,
    site: readText,
    state: readText,
  })

const readExposure: Read<ExposureEntry> = (value, what) => {
  const exposure = readMap<ExposureEntry>(value, what, {
    sharing: readId,
    index: readInteger,
    node: readId,
    operator: readText,
    parent: readText,
    site: readText,
  })
  requireField(exposure.index < MAX_N, `${what}.index must be below ${MAX_N}`)
  return exposure
}

const readPolicy: Read<PolicyEntry> = (value, what) =>
  readMap<PolicyEntry>(value, what, {
    id: readId,
    name: readText,
    mode: readText,
    retainMs: readNullable(readInteger),
    deleteAfterMs: readNullable(readInteger),
  })

const readHold: Read<HoldEntry> = (value, what) =>
  readMap<HoldEntry>(value, what, {
    id: readId,
    recording: readId,
    name: readText,
    placedBy: readText,
    placedAtMs: readInteger,
  })

const readTombstone: Read<TombstoneEntry> = (value, what) =>
  readMap<TombstoneEntry>(value, what, { recording: readId, decidedAtMs: readInteger, reason: readText })

/**
 * Reads an organisation's state. That organisation and generation are the document header's is for the caller.
 *
 * @throws E_FORMAT_CBOR, E_FORMAT_FIELD
 */
export function decodeState(bytes: Uint8Array): OrganisationState {
  const state = readMap<OrganisationState>(decodeCbor(bytes), 'state', {
    organisation: readId,
    generation: readInteger,
    previous: readNullable(readBytesOf(32)),
    writtenAtMs: readInteger,
    nodes: readArray(readNode),
    exposures: readArray(readExposure),
    policies: readArray(readPolicy),
    holds: readArray(readHold),
    tombstones: readArray(readTombstone),
    revokedLinks: readArray(readId),
  })
  requireField(state.generation >= 1, 'state.generation counts from 1')
  // null above generation 1 is allowed: no number before may have been committed
  requireField(state.generation > 1 || state.previous === null, 'state.previous of generation 1 must be null')
  return state
}
