import { MosaikError } from '../domain/errors.ts'
import { toHex } from '../domain/ids.ts'

/** What lies under a name on a node (docs/FORMAT.md §11). */
export type ObjectKind = 'fragment' | 'manifest-share' | 'state-share' | 'card' | 'marker'

/** The name of the node's marker. */
export const MARKER_NAME = 'mosaik-node'

const places: readonly { readonly kind: ObjectKind; readonly prefix: string; readonly digits: number }[] = [
  { kind: 'fragment', prefix: 'f/', digits: 32 },
  { kind: 'manifest-share', prefix: 'm/', digits: 32 },
  { kind: 'state-share', prefix: 's/', digits: 32 },
  { kind: 'card', prefix: 'card/', digits: 64 },
]

/** The prefix to list objects of `kind` by: "f/", "m/", "s/", "card/". */
export function objectPrefix(kind: Exclude<ObjectKind, 'marker'>): string {
  return places.find((place) => place.kind === kind)!.prefix
}

/**
 * The name of an object: its prefix and the bytes in hexadecimal.
 *
 * @param bytes 16 random bytes; for a card the 32 bytes of its SHA-256.
 * @throws E_INPUT on another length.
 */
export function objectName(kind: Exclude<ObjectKind, 'marker'>, bytes: Uint8Array): string {
  const place = places.find((one) => one.kind === kind)!
  if (bytes.length * 2 !== place.digits) {
    throw new MosaikError('E_INPUT', `the name of a ${kind} takes ${place.digits / 2} bytes, not ${bytes.length}`)
  }
  return place.prefix + toHex(bytes)
}

/** What a name stands for, or `undefined` when it is not one of ours: such an object is reported, never touched. */
export function objectKind(name: string): ObjectKind | undefined {
  if (name === MARKER_NAME) return 'marker'
  const place = places.find(({ prefix }) => name.startsWith(prefix))
  if (place === undefined) return undefined
  const digits = name.slice(place.prefix.length)
  return digits.length === place.digits && /^[0-9a-f]+$/.test(digits) ? place.kind : undefined
}

/** The name with the folder of its first two digits that a directory node puts in between: `f/ab/abcdef…`. @throws E_INPUT */
export function directoryPath(name: string): string {
  const kind = objectKind(name)
  if (kind === undefined) throw new MosaikError('E_INPUT', 'not the name of an object of docs/FORMAT.md §11')
  if (kind === 'marker') return name
  const digitsAt = name.indexOf('/') + 1
  return `${name.slice(0, digitsAt)}${name.slice(digitsAt, digitsAt + 2)}/${name.slice(digitsAt)}`
}

/** The reverse of `directoryPath`; `undefined` for files that are not objects. */
export function nameOfDirectoryPath(path: string): string | undefined {
  if (path === MARKER_NAME) return path
  const match = /^(f|m|s|card)\/([0-9a-f]{2})\/([0-9a-f]+)$/.exec(path)
  if (match === null || !match[3]!.startsWith(match[2]!)) return undefined
  const name = `${match[1]}/${match[3]}`
  return objectKind(name) === undefined ? undefined : name
}
