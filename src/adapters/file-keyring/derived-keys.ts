import { hpkeOpen } from '../../crypto/hpke.ts'
import { keyId, recoveryKemSeed, rootSigningSeed, vaultKemSeed } from '../../crypto/keys.ts'
import type { HpkePrimitives } from '../../crypto/kem.ts'
import { signingKeys, type SigningKeys } from '../../crypto/signature.ts'
import { toHex, type Id } from '../../domain/ids.ts'
import type { KemPublicKey, OrganisationPublicKeys, Suite, WrappedKey } from '../../ports/keyring.ts'
import type { EpochSecrets, OrganisationSecrets } from './secrets.ts'

const SUITES: readonly Suite[] = [1, 2]

/** A vault key of some epoch, by its key id. */
interface UnwrapKey {
  readonly keyId: string
  readonly seed: Uint8Array
}

/** What follows from seeds, kept because making a pair takes milliseconds. Named by epoch: an epoch's seeds never change. */
export class DerivedKeys {
  readonly #primitives: HpkePrimitives
  readonly #signers = new Map<string, SigningKeys>()
  readonly #publicKeys = new Map<string, OrganisationPublicKeys>()
  readonly #unwrapKeys = new Map<string, UnwrapKey>()

  constructor(primitives: HpkePrimitives) {
    this.#primitives = primitives
  }

  /** Public keys that a recovery seed R gives, kept when R is gone. */
  ofRecoverySeed(recoverySeed: Uint8Array): Pick<OrganisationPublicKeys, 'recovery' | 'root'> {
    return {
      recovery: this.#kemPublicKeys((suite) => recoveryKemSeed(this.#primitives, recoverySeed, suite)),
      root: this.rootSigner(recoverySeed).publicKeys,
    }
  }

  rootSigner(recoverySeed: Uint8Array): SigningKeys {
    return signingKeys(this.#primitives, rootSigningSeed(this.#primitives, recoverySeed))
  }

  publicKeys(organisation: Id, { recovery, root }: OrganisationSecrets, secrets: EpochSecrets): OrganisationPublicKeys {
    return remembered(this.#publicKeys, `${organisation}/${secrets.epoch}`, () => ({
      organisation,
      epoch: secrets.epoch,
      kem: this.#kemPublicKeys((suite) => vaultKemSeed(this.#primitives, secrets.vaultSeed, suite)),
      recovery,
      signing: this.signer(organisation, secrets).publicKeys,
      root,
    }))
  }

  signer(organisation: Id, { epoch, signingSeed }: EpochSecrets): SigningKeys {
    return remembered(this.#signers, `${organisation}/${epoch}`, () => signingKeys(this.#primitives, signingSeed))
  }

  /** The vault key with this key id, of any epoch whose seed is here; after a rebuild the recovery key too. */
  unwrapKey(organisation: Id, suite: Suite, { epochs, rebuildSeed }: OrganisationSecrets, id: string) {
    const keys = epochs.map(({ epoch, vaultSeed }) =>
      this.#unwrapKey(`${organisation}/${epoch}`, suite, () => vaultKemSeed(this.#primitives, vaultSeed, suite)),
    )
    if (rebuildSeed !== undefined) {
      const seedOf = () => recoveryKemSeed(this.#primitives, rebuildSeed, suite)
      keys.push(this.#unwrapKey(`${organisation}/recovery`, suite, seedOf))
    }
    return keys.find((one) => one.keyId === id)
  }

  open(seed: Uint8Array, { suite, info, aad, enc, ct }: WrappedKey): Uint8Array {
    return hpkeOpen(suite, this.#primitives, seed, enc, info, aad, ct)
  }

  /** Overwrites what it keeps, as far as JavaScript can. */
  forget(): void {
    for (const { seed } of this.#unwrapKeys.values()) seed.fill(0)
    this.#signers.clear()
    this.#unwrapKeys.clear()
  }

  #unwrapKey(name: string, suite: Suite, seedOf: () => Uint8Array): UnwrapKey {
    return remembered(this.#unwrapKeys, `${name}/${suite}`, () => {
      const seed = seedOf()
      const { publicKey } = this.#primitives.kem(suite).keyPair(seed)
      return { keyId: toHex(keyId(this.#primitives, suite, publicKey)), seed }
    })
  }

  #kemPublicKeys(seedOf: (suite: Suite) => Uint8Array): KemPublicKey[] {
    return SUITES.map((suite) => ({ suite, publicKey: this.#primitives.kem(suite).keyPair(seedOf(suite)).publicKey }))
  }
}

function remembered<T>(map: Map<string, T>, name: string, make: () => T): T {
  const known = map.get(name)
  if (known !== undefined) return known
  const made = make()
  map.set(name, made)
  return made
}
