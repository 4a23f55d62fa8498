import { signerId, trustedSigner, type TrustedSigner } from '../crypto/keys.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { verifyPair } from '../crypto/signature.ts'
import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { sameBytes } from '../format/header-bytes.ts'
import {
  CARD_CONTEXT,
  decodeVaultCard,
  encodeCardForSigning,
  encodeVaultCard,
  type SignedCard,
  type VaultCard,
} from '../format/vault-card.ts'
import type { KemPublicKey, OrganisationPublicKeys, SigningPublicKeys } from '../ports/keyring.ts'

export interface FirstCard {
  readonly installation: Id
  /** Keys of epoch 1. */
  readonly keys: OrganisationPublicKeys
  readonly issuedAtMs: number
  /** Signature pair under "mosaik/v1/card": by the root for a first card, by `signer` for a later one. */
  readonly sign: (message: Uint8Array) => Promise<Uint8Array>
}

export interface NextCard extends FirstCard {
  /** The card of the epoch before, as it lies on the nodes. */
  readonly previous: Uint8Array
  /** Who signs: the root, or the `signing` pair of `previous`. */
  readonly signer: SigningPublicKeys
}

/**
 * Issues an organisation's first vault card, signed by the root (docs/FORMAT.md §8). Its name on the nodes is
 * `objectName('card', SHA-256 of it)`.
 *
 * @returns the card.
 * @throws E_INPUT another epoch than 1; E_SIGNATURE when `sign` used another pair than `keys.root`.
 */
export async function issueFirstCard(primitives: Primitives, request: FirstCard): Promise<Uint8Array<ArrayBuffer>> {
  if (request.keys.epoch !== 1) throw refuse('the first card is of epoch 1')
  return issue(primitives, request, null, request.keys.root)
}

/**
 * Issues the card of a later epoch: the same installation, organisation, recovery keys and root, the epoch one higher.
 *
 * @returns the card.
 * @throws E_INPUT when a reader could not trust it; E_SIGNATURE when `sign` used another pair than `signer`.
 */
export async function issueNextCard(primitives: Primitives, request: NextCard): Promise<Uint8Array<ArrayBuffer>> {
  const { installation, keys, signer } = request
  const before = decodeVaultCard(request.previous)
  if (!sameSigner(signer, keys.root) && !sameSigner(signer, before.signing)) {
    throw refuse('its signer is neither the root nor the signing pair of the card before')
  }
  if (before.installation !== installation || before.organisation !== keys.organisation) {
    throw refuse('the card before is of another installation or organisation')
  }
  if (keys.epoch !== before.epoch + 1) throw refuse('its epoch does not follow that of the card before')
  if (!sameSigner(before.root, keys.root) || !sameKemKeys(before.recovery, keys.recovery)) {
    throw refuse('root and recovery keys must stay the same')
  }
  return issue(primitives, request, primitives.sha256(request.previous), signer)
}

async function issue(
  primitives: Primitives,
  { installation, keys, issuedAtMs, sign }: FirstCard,
  previous: Uint8Array | null,
  signer: SigningPublicKeys,
): Promise<Uint8Array<ArrayBuffer>> {
  const { organisation, epoch, kem, recovery, signing, root } = keys
  const signedBytes = encodeCardForSigning({
    installation,
    organisation,
    epoch,
    issuedAtMs,
    kem,
    recovery,
    signing,
    root,
    previous,
    signer: signerId(primitives, signer),
  })
  const signature = await sign(signedBytes)
  if (!verifyPair(primitives, signer, CARD_CONTEXT, signedBytes, signature)) {
    throw new MosaikError('E_SIGNATURE', 'the card was signed with another pair than it names')
  }
  return encodeVaultCard(signedBytes, signature)
}

function refuse(why: string): MosaikError {
  return new MosaikError('E_INPUT', `this vault card cannot be issued: ${why}`)
}

function sameSigner(a: SigningPublicKeys, b: SigningPublicKeys): boolean {
  return sameBytes(a.ed25519, b.ed25519) && sameBytes(a.mldsa65, b.mldsa65)
}

export interface TrustedCard {
  readonly card: VaultCard
  /** SHA-256 of the card, 32 bytes. */
  readonly hash: Uint8Array
  /** Its place in the list that was given. */
  readonly position: number
}

export interface Trust {
  readonly trusted: readonly TrustedCard[]
  /** Every other card with the reason; E_CARD_UNTRUSTED when nothing vouches for it. */
  readonly refused: readonly { readonly position: number; readonly error: MosaikError }[]
  /** Signing pairs of the trusted cards: whose shares and receipts are genuine. */
  readonly signers: readonly TrustedSigner[]
}

interface Candidate {
  readonly bytes: Uint8Array
  readonly card: SignedCard
  readonly position: number
}

/**
 * Which of the cards found on the nodes are genuine (docs/FORMAT.md §8, Trust): those signed by the root, then, repeatedly,
 * those signed by a trusted card that they name as `previous`, one epoch on, with the same root and recovery keys. A card
 * that cannot be read or trusted never keeps another from being trusted.
 *
 * @param cards as they lie on the nodes, in any order, also twice.
 * @param root the root pair: derived from the recovery key by a reader, never taken from a card.
 */
export function trustCards(primitives: Primitives, cards: readonly Uint8Array[], root: SigningPublicKeys): Trust {
  const rootId = signerId(primitives, root)
  const trusted: TrustedCard[] = []
  const refused: { position: number; error: MosaikError }[] = []
  const accept = ({ bytes, card, position }: Candidate, by: SigningPublicKeys): void => {
    if (verifyPair(primitives, by, CARD_CONTEXT, card.signedBytes, card.signature)) {
      trusted.push({ card, hash: primitives.sha256(bytes), position })
    } else {
      refused.push({ position, error: new MosaikError('E_SIGNATURE', 'a signature of the card does not verify') })
    }
  }

  let waiting: Candidate[] = []
  for (const [position, bytes] of cards.entries()) {
    try {
      const candidate = { bytes, card: decodeVaultCard(bytes), position }
      const ofRoot = sameSigner(candidate.card.root, root)
      if (ofRoot && sameBytes(candidate.card.signer, rootId)) accept(candidate, root)
      else waiting.push(candidate)
    } catch (error) {
      if (!(error instanceof MosaikError)) throw error
      refused.push({ position, error })
    }
  }
  // `trusted` grows while it is walked: a card that becomes trusted may vouch for the next
  for (const parent of trusted) {
    const followers = waiting.filter(({ card }) => follows(primitives, card, parent))
    waiting = waiting.filter((candidate) => !followers.includes(candidate))
    for (const follower of followers) accept(follower, parent.card.signing)
  }
  for (const { position } of waiting) {
    const error = new MosaikError('E_CARD_UNTRUSTED', 'neither the root nor a trusted card vouches for this card')
    refused.push({ position, error })
  }
  const signers = trusted.map(({ card }) => trustedSigner(primitives, card.organisation, card.signing))
  return { trusted, refused, signers }
}

function follows(primitives: Primitives, card: VaultCard, parent: TrustedCard): boolean {
  return (
    card.previous !== null &&
    sameBytes(card.previous, parent.hash) &&
    card.epoch === parent.card.epoch + 1 &&
    card.installation === parent.card.installation &&
    card.organisation === parent.card.organisation &&
    sameSigner(card.root, parent.card.root) &&
    sameKemKeys(card.recovery, parent.card.recovery) &&
    sameBytes(card.signer, signerId(primitives, parent.card.signing))
  )
}

function sameKemKeys(a: readonly KemPublicKey[], b: readonly KemPublicKey[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ suite, publicKey }, i) => suite === b[i]!.suite && sameBytes(publicKey, b[i]!.publicKey))
  )
}
