import { trustedSigner, type TrustedSigner } from '../crypto/keys.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { acceptsReads } from '../domain/node.ts'
import { objectPrefix } from '../format/object-names.ts'
import type { InstallationCatalog } from '../ports/catalog/access.ts'
import type { PublicKeyring } from '../ports/keyring.ts'
import type { NodePool } from '../ports/node-pool.ts'
import { parseAndVerifyShare } from './open-document.ts'
import { signersOf } from './signers.ts'

export interface NewestStatePorts {
  readonly pool: NodePool
  readonly keyring: Pick<PublicKeyring, 'publicKeys'>
  readonly primitives: Primitives
  /** Cards of all epochs: the newest state may be of an earlier one. */
  readonly installation: Pick<InstallationCatalog, 'cards'>
}

export interface NewestState {
  /** The highest sequence number of the organisation's state that a genuine share on any node bears; 0 when there is none. */
  readonly generation: number
  /** Nodes that did not tell all that they have of it. */
  readonly silentNodes: number
}

/**
 * Asks all nodes which state of the organisation they bear. A catalog that knows a lower number was restored from a backup
 * (docs/ARCHITECTURE.md "Truth"). Nodes that do not answer until the signal ends are counted.
 *
 * @param told called each time that a node has told, with the number of those that have not.
 */
export async function newestState(
  ports: NewestStatePorts,
  organisation: Id,
  signal: AbortSignal,
  told: (openNodes: number) => void = () => undefined,
): Promise<NewestState> {
  const { signing } = await ports.keyring.publicKeys(organisation)
  const trusted = [trustedSigner(ports.primitives, organisation, signing), ...(await signersOf(ports, organisation))]
  const nodes = (await ports.pool.nodes()).filter(acceptsReads)
  let openNodes = nodes.length
  told(openNodes)
  const ended = new Promise<Told>((resolve) => {
    const end = (): void => resolve({ newest: 0, isSilent: true })
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
  const all = await Promise.all(
    nodes.map(async ({ id }) => {
      const one = await Promise.race([newestOnNode(ports, id, trusted, signal), ended])
      if (!one.isSilent) told(--openNodes)
      return one
    }),
  )
  return {
    generation: Math.max(0, ...all.map(({ newest }) => newest)),
    silentNodes: all.filter(({ isSilent }) => isSilent).length,
  }
}

interface Told {
  readonly newest: number
  readonly isSilent: boolean
}

async function newestOnNode(
  ports: NewestStatePorts,
  node: Id,
  trusted: readonly TrustedSigner[],
  signal: AbortSignal,
): Promise<Told> {
  let newest = 0
  try {
    const store = await ports.pool.store(node)
    for await (const { key } of store.list(objectPrefix('state-share'), signal)) {
      newest = Math.max(newest, genuineGeneration(ports.primitives, await store.get(key, undefined, signal), trusted))
    }
    return { newest, isSilent: false }
  } catch (error) {
    if (!signal.aborted && !isMosaikError(error)) throw error
    return { newest, isSilent: true }
  }
}

/** 0 for what is not a genuine share of one of the trusted signers. */
function genuineGeneration(primitives: Primitives, bytes: Uint8Array, trusted: readonly TrustedSigner[]): number {
  try {
    const share = parseAndVerifyShare(primitives, bytes, trusted)
    return share.kind === 'state' ? share.generation : 0
  } catch (error) {
    if (isMosaikError(error)) return 0
    throw error
  }
}
