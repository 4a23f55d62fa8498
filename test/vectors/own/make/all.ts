import { isMosaikError } from '../../../../src/domain/errors.ts'
import { checkWithSrc } from '../check-with-src.ts'
import { bytesOf, hex, type Bytes, type Difference, type Vector } from '../vector.ts'
import { bodyVectors } from './bodies.ts'
import { contentVectors, makeSplit } from './contents.ts'
import { documentVectors } from './documents.ts'
import type { Draft } from './edit.ts'
import { headerVectors } from './headers.ts'
import { primitives } from './small-vault.ts'

/** Every vector, made anew: the same on every run. @throws Error when src does not find the fault that a vector names. */
export async function makeVectors(): Promise<Vector[]> {
  const drafts = [
    ...headerVectors(),
    ...(await bodyVectors()),
    ...(await documentVectors()),
    ...(await contentVectors()),
  ]
  const wholes: Whole[] = []
  const vectors = drafts.map(({ error, ...draft }): Vector => {
    const input = shorten(draft, wholes)
    return { ...draft, input, expect: error === undefined ? { ok: null } : { error } }
  })
  const find = (name: string) => vectors.find((vector) => vector.name === name)!
  const finished: Vector[] = []
  for (const vector of vectors) finished.push(await finish(vector, find))
  return finished
}

/** An input that stands whole in its file, for others to differ from. */
interface Whole {
  readonly kind: string
  readonly of: string
  readonly item?: number
  readonly bytes: Uint8Array
}

/** A difference must be this much smaller than the whole to be written instead. */
const WORTH_IT = 4
const SMALL_BYTES = 128

/** The input with what it has in common with earlier ones of its kind left out. */
function shorten({ name, kind, input }: Draft, wholes: Whole[]): Vector['input'] {
  if (kind === 'recovery-key' || kind === 'vault' || kind === 'split') return input
  const several = Array.isArray(input)
  const items = (several ? input : [input]) as readonly string[]
  const shortened = items.map((text, item): Bytes => {
    const bytes = bytesOf(text)
    const differences = wholes.filter((whole) => whole.kind === kind).map((whole) => difference(whole, bytes))
    const best = differences.toSorted((a, b) => a.insert.length - b.insert.length)[0]
    const small = bytes.length <= SMALL_BYTES
    if (!small && best !== undefined && (best.insert.length / 2) * WORTH_IT < bytes.length) return best
    if (!small) wholes.push({ kind, of: name, bytes, ...(several && { item }) })
    return text
  })
  return several ? shortened : shortened[0]!
}

function difference({ of, item, bytes: whole }: Whole, bytes: Uint8Array): Difference {
  const shorter = Math.min(whole.length, bytes.length)
  let front = 0
  while (front < shorter && whole[front] === bytes[front]) front++
  let back = 0
  while (back < shorter - front && whole[whole.length - 1 - back] === bytes[bytes.length - 1 - back]) back++
  const insert = hex(bytes.subarray(front, bytes.length - back))
  return { of, ...(item !== undefined && { item }), at: front, remove: whole.length - back - front, insert }
}

async function finish(vector: Vector, find: (name: string) => Vector): Promise<Vector> {
  const { name, expect } = vector
  if (vector.kind === 'split') return { ...vector, expect: { ok: splitHashes(vector) } }
  if ('ok' in expect) return { ...vector, expect: { ok: await checkWithSrc(vector, find) } }
  const found = await checkWithSrc(vector, find).then(
    () => 'nothing',
    (thrown: unknown) => (isMosaikError(thrown) ? thrown.code : String(thrown)),
  )
  if (found !== expect.error) throw new Error(`${name}: src finds ${found}, the vector names ${expect.error}`)
  return vector
}

/** Known hashes of a content and its fragments; they are too long to be kept. */
export function splitHashes({ context }: Pick<Vector, 'context'>): unknown {
  const { content, fragments } = makeSplit(context!.label!, context!.scheme!)
  const sha256 = (bytes: Uint8Array) => hex(primitives.sha256(bytes))
  return { content: sha256(content), fragments: fragments.map(sha256) }
}
