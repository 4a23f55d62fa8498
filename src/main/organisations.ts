import { isMosaikError, MosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import { checkScheme, type Scheme } from '../domain/dispersal.ts'
import type { PlacementRule } from '../domain/placement.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { objectName } from '../format/object-names.ts'
import { issueFirstCard } from '../ledger/vault-card.ts'
import type { Catalog } from '../ports/catalog.ts'
import { withDeadline } from '../ports/deadline.ts'
import type { Keyring } from '../ports/keyring.ts'
import type { NodePool } from '../ports/node-pool.ts'
import type { Clock, Log, Random } from '../ports/system.ts'

const never = new AbortController().signal

export interface OrganisationPorts {
  readonly catalog: Catalog
  readonly keyring: Keyring
  readonly installationId: Id
  readonly pool: NodePool
  readonly primitives: Primitives
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export type CardPorts = Pick<OrganisationPorts, 'catalog' | 'pool' | 'primitives' | 'clock' | 'log'>

/**
 * Makes an organisation: its keys, its first vault card signed by the root, its row with the card. Keys without a row count for nothing.
 */
export async function createOrganisation(
  ports: Omit<OrganisationPorts, 'pool' | 'log'>,
  request: { readonly name: string; readonly scheme: Scheme; readonly placementRule: PlacementRule },
): Promise<Id> {
  checkScheme(request.scheme)
  const organisation = toHex(ports.random.bytes(16))
  const keys = await ports.keyring.createOrganisation(organisation)
  const card = await issueFirstCard(ports.primitives, {
    installation: ports.installationId,
    keys,
    issuedAtMs: ports.clock.nowMs(),
    sign: (message) => ports.keyring.signAsRoot(organisation, 'mosaik/v1/card', message),
  })
  // The first one is the provider's and stays the first, whatever the clock does.
  const lastMs = (await ports.catalog.installation.organisations()).at(-1)?.createdAtMs ?? 0
  await ports.catalog.installation.addOrganisation(
    {
      id: organisation,
      name: request.name,
      scheme: request.scheme,
      placementRule: request.placementRule,
      createdAtMs: Math.max(ports.clock.nowMs(), lastMs + 1),
      stateGeneration: 0,
      stateSha256: null,
    },
    { epoch: keys.epoch, card },
  )
  return organisation
}

const CARD_TIMEOUT_MS = 30_000

/**
 * Puts every card that is missing onto a node. Safe to repeat; a node that does not answer gets its cards another time.
 *
 * @returns why a card is not there, for each that is not.
 */
export async function spreadCards(ports: CardPorts, node: Id): Promise<MosaikError[]> {
  const troubles: MosaikError[] = []
  for (const { id: organisation } of await ports.catalog.installation.organisations()) {
    const placed = await ports.catalog.layout.organisationObjects(organisation, 'card')
    for (const card of await ports.catalog.installation.cards(organisation)) {
      const key = objectName('card', ports.primitives.sha256(card))
      if (placed.some((row) => row.node === node && row.key === key)) continue
      await ports.catalog.layout.addObjects([
        {
          node,
          key,
          organisation,
          recording: null,
          role: { kind: 'card' },
          sharing: null,
          index: 0,
          createdAtMs: ports.clock.nowMs(),
        },
      ])
      try {
        const store = await ports.pool.store(node)
        const late = (): MosaikError =>
          new MosaikError('E_NODE_UNREACHABLE', 'the node does not take the card', { node })
        await withDeadline({ clock: ports.clock, limitMs: CARD_TIMEOUT_MS, signal: never, late }, (signal) =>
          store.put(key, card, signal),
        )
        await ports.catalog.layout.setObjectState(node, key, 'stored', card.length)
      } catch (error) {
        if (!isMosaikError(error)) throw error
        ports.log.warn('cards.node-failed', { node, code: error.code })
        troubles.push(error)
      }
    }
  }
  return troubles
}
