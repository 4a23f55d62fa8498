import type { Primitives } from '../../crypto/primitives.ts'
import { isMosaikError, type ErrorCode } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import { FRAGMENT_HEADER_BYTES, decodeFragmentHeader, type FragmentHeader } from '../../format/fragment-header.ts'
import { HeaderView } from '../../format/header-bytes.ts'
import { objectPrefix } from '../../format/object-names.ts'
import type { ObjectKey, ObjectStore } from '../../ports/object-store.ts'
import type { Log } from '../../ports/system.ts'

/** A node as it is found: nothing is known but what lies there. */
export interface BareNode {
  readonly id: Id
  readonly store: ObjectStore
}

export interface FoundFragment extends FragmentHeader {
  readonly node: Id
  readonly key: ObjectKey
  readonly sizeBytes: number
}

/** What the first bytes of a document share say; nothing in it is believed before its signature is verified. */
export interface FoundShare {
  readonly node: Id
  readonly key: ObjectKey
  readonly sizeBytes: number
  readonly organisation: Id
  readonly subject: Id
  readonly generation: number
  readonly sharing: Id
  readonly index: number
  readonly k: number
  readonly n: number
}

export interface FoundCard {
  readonly node: Id
  readonly key: ObjectKey
  readonly bytes: Uint8Array
}

const SHARE_HEAD_BYTES = 96
const PARALLEL = 16

export interface ContentsPorts {
  readonly nodes: readonly BareNode[]
  readonly primitives: Primitives
  readonly log: Log
  /** Told of every object, or prefix, of which nothing is known: its node did not answer, or gave something else. */
  readonly passedOver?: (node: Id, code: ErrorCode) => void
}

/** Every card on every node, also spoilt ones. */
export async function readCards(ports: ContentsPorts, signal: AbortSignal): Promise<FoundCard[]> {
  const cards: FoundCard[] = []
  await eachObject(ports, objectPrefix('card'), signal, async ({ id, store }, { key }) => {
    cards.push({ node: id, key, bytes: await store.get(key, undefined, signal) })
  })
  return cards
}

/** The headers of every fragment, by attempt. What is none is passed over. */
export async function listFragments(ports: ContentsPorts, signal: AbortSignal): Promise<Map<Id, FoundFragment[]>> {
  const found: FoundFragment[] = []
  await eachObject(ports, objectPrefix('fragment'), signal, async ({ id, store }, { key, sizeBytes }) => {
    const bytes = await store.get(key, { offsetBytes: 0, lengthBytes: FRAGMENT_HEADER_BYTES }, signal)
    found.push({ ...decodeFragmentHeader(bytes), node: id, key, sizeBytes })
  })
  return Map.groupBy(found, ({ attempt }) => attempt)
}

/** What every manifest or state share says that it is of, by subject. */
export async function listShares(
  ports: ContentsPorts,
  kind: 'manifest-share' | 'state-share',
  signal: AbortSignal,
): Promise<Map<Id, FoundShare[]>> {
  const found: FoundShare[] = []
  await eachObject(ports, objectPrefix(kind), signal, async ({ id, store }, { key, sizeBytes }) => {
    const bytes = await store.get(key, { offsetBytes: 0, lengthBytes: SHARE_HEAD_BYTES }, signal)
    const view = new HeaderView(bytes, 'the document share').magic('MOSAIKDS').version()
    found.push({
      ...{ node: id, key, sizeBytes },
      ...{ organisation: view.id(12), subject: view.id(28), generation: view.u64(44, 'generation') },
      ...{ sharing: view.id(52), index: view.u8(68), k: view.u8(69), n: view.u8(70) },
    })
  })
  return Map.groupBy(found, ({ organisation, subject }) => (kind === 'state-share' ? organisation : subject))
}

/** Some at a time on each node, the nodes side by side. What cannot be read is named in the log and passed over. */
async function eachObject(
  { nodes, log, passedOver }: ContentsPorts,
  prefix: string,
  signal: AbortSignal,
  task: (node: BareNode, object: { readonly key: ObjectKey; readonly sizeBytes: number }) => Promise<void>,
): Promise<void> {
  const passOver = (node: Id, key: string, error: unknown): void => {
    signal.throwIfAborted()
    if (!isMosaikError(error)) throw error
    log.warn('rebuild.passed-over', { node, object: key, code: error.code })
    passedOver?.(node, error.code)
  }
  await Promise.all(
    nodes.map(async (node) => {
      const running = new Set<Promise<void>>()
      try {
        for await (const object of node.store.list(prefix, signal)) {
          const run = task(node, object)
            .catch((error: unknown) => passOver(node.id, object.key, error))
            .finally(() => running.delete(run))
          running.add(run)
          if (running.size >= PARALLEL) await Promise.race(running)
        }
      } catch (error) {
        passOver(node.id, prefix, error)
      }
      await Promise.all(running)
    }),
  )
}
