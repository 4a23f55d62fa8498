import type { Id } from '../domain/ids.ts'
import { HeaderView, HeaderWriter } from './header-bytes.ts'

/** The object `mosaik-node`: whose node this is (docs/FORMAT.md §11). */
export interface NodeMarker {
  readonly installation: Id
  readonly node: Id
}

const MAGIC = 'MOSAIKNM'
export const NODE_MARKER_BYTES = 42

/** @throws E_INPUT when an id is not one. */
export function encodeNodeMarker({ installation, node }: NodeMarker): Uint8Array<ArrayBuffer> {
  return new HeaderWriter(MAGIC, NODE_MARKER_BYTES).id(10, installation).id(26, node).bytes
}

/** @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_FORMAT_LENGTH */
export function decodeNodeMarker(bytes: Uint8Array): NodeMarker {
  const view = new HeaderView(bytes, 'the node marker').magic(MAGIC).version().length(NODE_MARKER_BYTES)
  return { installation: view.id(10), node: view.id(26) }
}
