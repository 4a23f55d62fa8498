import { createFileKeyring, hasFileKeyring, openFileKeyring } from '../adapters/file-keyring/file-keyring.ts'
import type { KdfCost } from '../adapters/file-keyring/sealed-file.ts'
import { passphraseOf, type KeyringOpening } from '../adapters/file-keyring/unlock.ts'
import type { UnwrapEntry } from '../adapters/file-keyring/unwrap-gate.ts'
import type { FileKeyring } from '../adapters/file-keyring/opened-keyring.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { rootSigningSeed } from '../crypto/keys.ts'
import { signingKeys } from '../crypto/signature.ts'
import { MosaikError } from '../domain/errors.ts'
import { sameBytes } from '../format/header-bytes.ts'
import { decodeRecoveryKey } from '../format/recovery-key.ts'
import type { VaultCard } from '../format/vault-card.ts'
import { issueNextCard } from '../ledger/vault-card.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { SigningPublicKeys } from '../ports/keyring.ts'
import type { Clock, Random } from '../ports/system.ts'
import { unwrapWithRecoverySeed, type Unwrap } from '../retrieve/open-document.ts'

/** A trusted card, with its bytes as they lie on the nodes. */
export type KnownCard = VaultCard & { readonly bytes: Uint8Array }

/** Where the keyring lies, and what opens it. */
export interface KeyringRequest {
  readonly config: { readonly data: string }
  readonly opening: KeyringOpening
  readonly clock: Clock
  readonly random: Random
  readonly kdfCost?: KdfCost
}

/** What documents are opened with, and whose cards count. */
export interface Opener {
  readonly root: SigningPublicKeys
  readonly unwrap: Unwrap
  /** Of the recovery key; a keyring has none. */
  readonly seed: Uint8Array | undefined
}

/** @param text as it is printed. @throws E_RECOVERY_KEY */
export function openWithRecoveryKey(text: string): Opener {
  const seed = decodeRecoveryKey(text, nodePrimitives.sha256)
  return {
    root: signingKeys(nodePrimitives, rootSigningSeed(nodePrimitives, seed)).publicKeys,
    unwrap: unwrapWithRecoverySeed(nodePrimitives, seed),
    seed,
  }
}

/** @throws E_INPUT when the keyring has the keys of no organisation, or of several */
export async function openWithKeyring(keyring: FileKeyring): Promise<Opener> {
  const [organisation, ...others] = keyring.organisations()
  if (organisation === undefined || others.length > 0) {
    throw new MosaikError(
      'E_INPUT',
      `the keyring has the keys of ${others.length === 0 ? 'no organisation' : 'several organisations'}: give the recovery key with --recovery-key-file`,
    )
  }
  const { root } = await keyring.publicKeys(organisation)
  return { root, unwrap: (id, wrapped) => keyring.unwrap(organisation, id, wrapped, 'rebuild'), seed: undefined }
}

/** The keyring of the data folder, or a new one. Each unwrap is written to the catalog first. */
export async function openKeyring(request: KeyringRequest, catalog: Catalog): Promise<FileKeyring> {
  const { config, opening, clock, random, kdfCost } = request
  const options = {
    ...{ folder: config.data, clock, random, primitives: nodePrimitives },
    // The operator is here, and every recording is to be opened once.
    unwrapsPerMinute: Infinity,
    record: async ({ organisation, keyId, purpose, atMs }: UnwrapEntry) => {
      await catalog.audit.addAudit({ atMs, organisation, kind: 'unwrap', subject: null, fields: { purpose, keyId } })
    },
  }
  if (hasFileKeyring(config.data)) return await openFileKeyring({ ...options, ...opening })
  return await createFileKeyring({ ...options, ...passphraseOf(opening) }, kdfCost)
}

/** The keyring's own epoch when it has the keys of a trusted card; else keys of a new epoch. */
export async function ensureKeys(
  keyring: FileKeyring,
  catalog: Catalog,
  trusted: readonly KnownCard[],
  seed: Uint8Array | undefined,
): Promise<{ readonly epoch: number; readonly hasNewKeys: boolean }> {
  const newest = trusted.at(-1)!
  if (!keyring.organisations().includes(newest.organisation)) {
    if (!seed) {
      throw new MosaikError('E_INPUT', 'the keyring has no keys of this organisation: give the recovery key', {})
    }
    const { epoch } = await keyring.adoptOrganisation(newest.organisation, newest.epoch + 1, seed)
    return { epoch, hasNewKeys: true }
  }
  const { epoch, signing } = await keyring.publicKeys(newest.organisation)
  const isOnCard = trusted.some((card) => card.epoch === epoch && sameBytes(card.signing.ed25519, signing.ed25519))
  if (isOnCard) return { epoch, hasNewKeys: false }
  // A rebuild was cut off after the keys and before their card.
  const known = await catalog.installation.cards(newest.organisation)
  if (epoch === newest.epoch + 1) return { epoch, hasNewKeys: known.length <= trusted.length }
  throw new MosaikError('E_CONFLICT', 'the keyring has keys of this organisation that no card on the nodes names', {
    epoch,
  })
}

/** Signed by the root: the recovery key is here for as long as this takes. */
export async function issueCard(
  keyring: FileKeyring,
  catalog: Catalog,
  newest: KnownCard,
  clock: Clock,
): Promise<void> {
  const keys = await keyring.publicKeys(newest.organisation)
  const card = await issueNextCard(nodePrimitives, {
    ...{ installation: newest.installation, keys, issuedAtMs: clock.nowMs(), signer: keys.root },
    previous: newest.bytes,
    sign: (message) => keyring.signAsRoot(newest.organisation, 'mosaik/v1/card', message),
  })
  await catalog.installation.putCard(newest.organisation, keys.epoch, card)
}
