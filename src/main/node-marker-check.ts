import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { decodeNodeMarker, type NodeMarker } from '../format/node-marker.ts'
import { MARKER_NAME } from '../format/object-names.ts'
import type { NodeRow } from '../ports/catalog/access.ts'
import { withDeadline } from '../ports/deadline.ts'
import type { ObjectStore } from '../ports/object-store.ts'
import type { Clock } from '../ports/system.ts'

const MARKER_TIMEOUT_MS = 10_000
const never = new AbortController().signal

/** Makes sure that an open store is our node and not an empty place or somebody else's. @throws E_NODE_FOREIGN, E_NODE_UNREACHABLE */
export async function checkMarker(row: NodeRow, installation: Id, store: ObjectStore, clock: Clock): Promise<void> {
  const foreign = (what: string, cause?: unknown): MosaikError =>
    new MosaikError('E_NODE_FOREIGN', `node ${row.name} ${what}`, { node: row.id }, cause)
  const late = (): MosaikError =>
    new MosaikError('E_NODE_UNREACHABLE', `node ${row.name} did not answer in time`, { node: row.id })
  let bytes: Uint8Array
  try {
    bytes = await withDeadline({ clock, limitMs: MARKER_TIMEOUT_MS, signal: never, late }, (signal) =>
      store.get(MARKER_NAME, undefined, signal),
    )
  } catch (error) {
    // Absent is an answer: this is not the place that we wrote to.
    if (isMosaikError(error, 'E_OBJECT_ABSENT')) throw foreign('has no marker: it is empty, or another place', error)
    throw error
  }
  let marker: NodeMarker
  try {
    marker = decodeNodeMarker(bytes)
  } catch (error) {
    throw foreign('carries a marker that is not one of ours', error)
  }
  if (marker.node !== row.id || marker.installation !== installation) {
    throw foreign('carries the marker of another node or vault')
  }
}
