import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { acceptsWrites } from '../domain/node.ts'
import { sameBytes } from '../format/header-bytes.ts'
import { decodeVaultCard, type SignedCard } from '../format/vault-card.ts'
import { issueNextCard } from '../ledger/vault-card.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Keyring, OrganisationPublicKeys, SigningPublicKeys } from '../ports/keyring.ts'
import { spreadCards, type CardPorts } from './organisations.ts'

export interface RotationPorts extends CardPorts {
  readonly keyring: Keyring
}

/** The root pair, where the recovery key is at hand; without it the signing key of the epoch before signs. */
export interface CardSigner {
  readonly keys: SigningPublicKeys
  /** Signature pair under "mosaik/v1/card". */
  sign(message: Uint8Array): Promise<Uint8Array>
}

export interface Rotation {
  readonly organisation: Id
  readonly epoch: number
  /** Nodes that have the new card. */
  readonly nodes: readonly string[]
}

/**
 * Turns over the vault and signing keys of an organisation: keys of a new epoch, their card, the card on every node that takes writes, and
 * only then are the keys in force (docs/FORMAT.md §8). What is stored stays sealed to the keys before until upkeep has wrapped it anew, and
 * can be read all the time. Cut off anywhere, the next call goes on.
 *
 * @throws E_NODES_TOO_FEW a node did not take the card: the keys before stay in force; E_CONFLICT the keyring is older than the catalog
 */
export async function rotateKeys(ports: RotationPorts, organisation: Id, root?: CardSigner): Promise<Rotation> {
  const { keyring, catalog, clock } = ports
  const present = await keyring.publicKeys(organisation)
  const next = await keyring.prepareEpoch(organisation)
  await ensureCard(ports, present, next, root)

  const nodes = (await catalog.installation.nodes()).filter(acceptsWrites)
  const missing: string[] = []
  await Promise.all(
    nodes.map(async ({ id, name }) => {
      const [trouble] = await spreadCards(ports, id)
      if (trouble) missing.push(`${name}: ${trouble.code} ${trouble.message}`)
    }),
  )
  if (missing.length > 0) {
    throw new MosaikError(
      'E_NODES_TOO_FEW',
      `the new vault card is not on every node (${missing.join('; ')}); the keys of epoch ${present.epoch} stay in force. Bring the node back, or set it read-only, and run this again`,
      { organisation, epoch: next.epoch, missing },
    )
  }
  await keyring.beginEpoch(organisation, next.epoch)
  await catalog.audit.addAudit({
    atMs: clock.nowMs(),
    organisation,
    kind: 'keys-rotated',
    subject: null,
    fields: { epoch: next.epoch, byRoot: root !== undefined },
  })
  return { organisation, epoch: next.epoch, nodes: nodes.map(({ name }) => name) }
}

/** The card of the epoch to come, in the catalog: the one that is there already, if it is of these keys. */
async function ensureCard(
  ports: RotationPorts,
  present: OrganisationPublicKeys,
  next: OrganisationPublicKeys,
  root: CardSigner | undefined,
): Promise<void> {
  const { catalog, keyring, primitives, clock } = ports
  const { organisation } = present
  const older = (): MosaikError =>
    new MosaikError(
      'E_CONFLICT',
      'the catalog has a vault card of other keys than this keyring: it is an older copy of the keyring. Put the newest one back',
      { organisation, epoch: present.epoch },
    )
  const cards = await catalog.installation.cards(organisation)
  const known = cards.map((bytes) => ({ bytes, card: decodeVaultCard(bytes) }))
  const there = known.find(({ card }) => card.epoch >= next.epoch)
  if (there) {
    if (there.card.epoch !== next.epoch || !isOf(there.card, next)) throw older()
    return
  }
  const before = known.at(-1)
  if (before?.card.epoch !== present.epoch || !isOf(before.card, present)) throw older()
  const signer = root ?? {
    keys: present.signing,
    sign: (message: Uint8Array) => keyring.sign(organisation, present.epoch, 'mosaik/v1/card', message),
  }
  const card = await issueNextCard(primitives, {
    ...{ installation: before.card.installation, keys: next, issuedAtMs: clock.nowMs() },
    ...{ previous: before.bytes, signer: signer.keys, sign: (message) => signer.sign(message) },
  })
  await catalog.installation.putCard(organisation, next.epoch, card)
  // Two at once make two cards of the same keys; the first one stays.
  const kept = (await catalog.installation.cards(organisation)).at(-1)
  if (!kept || !isOf(decodeVaultCard(kept), next)) throw older()
}

function isOf(card: SignedCard, keys: OrganisationPublicKeys): boolean {
  return sameBytes(card.signing.ed25519, keys.signing.ed25519) && sameBytes(card.signing.mldsa65, keys.signing.mldsa65)
}

/** How far a rotation is. */
export interface RotationStatus {
  readonly organisation: Id
  /** In force. */
  readonly epoch: number
  /** Prepared and not in force: a rotation was cut off, or waits for nodes. */
  readonly next: number | null
  /** Epochs before it whose keys are still here. */
  readonly oldEpochs: readonly number[]
  readonly hasRebuildSeed: boolean
  readonly recordings: number
  /** Of those, sealed to keys before the ones in force, or not known to be sealed to these. */
  readonly toRewrap: number
}

export async function rotationStatus(
  { keyring, catalog }: { readonly keyring: Keyring; readonly catalog: Pick<Catalog, 'upkeep'> },
  organisation: Id,
): Promise<RotationStatus> {
  const { epochs, hasRebuildSeed, next } = await keyring.heldEpochs(organisation)
  const epoch = epochs.at(-1)!
  const counts = await catalog.upkeep.countSealedBeforeEpoch(organisation, epoch)
  const hasOldKeys = epochs.length > 1 || hasRebuildSeed
  return {
    ...{ organisation, epoch, next: next ?? null, oldEpochs: epochs.slice(0, -1), hasRebuildSeed },
    ...{ recordings: counts.all, toRewrap: hasOldKeys ? counts.before : 0 },
  }
}

/**
 * Destroys the seeds of the epochs before the one in force, and what a rebuild left. From its first step on no manifest of an earlier epoch is
 * committed any more, so none can slip in behind the count.
 *
 * @throws E_CONFLICT while recordings still need them: nothing is destroyed.
 */
export async function destroyOldKeys(
  ports: {
    readonly keyring: Keyring
    readonly catalog: Pick<Catalog, 'upkeep' | 'installation' | 'audit'>
    readonly clock: CardPorts['clock']
  },
  organisation: Id,
): Promise<{ readonly destroyed: readonly number[] }> {
  const { keyring, catalog, clock } = ports
  const { epoch, oldEpochs, hasRebuildSeed } = await rotationStatus(ports, organisation)
  if (oldEpochs.length === 0 && !hasRebuildSeed) return { destroyed: [] }
  await catalog.installation.retireEpochsBefore(organisation, epoch)
  const { toRewrap } = await rotationStatus(ports, organisation)
  if (toRewrap > 0) {
    throw new MosaikError(
      'E_CONFLICT',
      `nothing was destroyed: recordings still sealed to keys before epoch ${epoch}: ${toRewrap}. The running vault wraps them anew; \`npx mosaik rotate-keys --status\` says how far it is`,
      { organisation, toRewrap },
    )
  }
  await catalog.audit.addAudit({
    ...{ atMs: clock.nowMs(), organisation, kind: 'old-keys-destroyed', subject: null },
    fields: { epochs: oldEpochs.join(' '), rebuildSeed: hasRebuildSeed },
  })
  await keyring.destroyOldKeys(organisation, epoch)
  return { destroyed: oldEpochs }
}
