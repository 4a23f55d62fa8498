import { createHash } from 'node:crypto'
import type { Kem } from '../../src/crypto/kem.ts'
import type { SignatureAlgorithm } from '../../src/crypto/primitives.ts'

/**
 * Look-alikes of the public-key algorithms, with their lengths and without their cost. A signature is a hash of public key and message, an
 * encapsulated secret one of public key and randomness: flipped bits and mixed-up keys are noticed as ever; forgery is not what is simulated.
 */

function expand(lengthBytes: number, ...parts: readonly (Uint8Array | string)[]): Uint8Array<ArrayBuffer> {
  const hash = createHash('shake256', { outputLength: lengthBytes })
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

function signatures(label: string, publicKeyBytes: number, signatureBytes: number): SignatureAlgorithm {
  return {
    keyPair(seed) {
      const publicKey = expand(publicKeyBytes, label, seed)
      return { publicKey, sign: (message) => expand(signatureBytes, label, publicKey, message) }
    },
    verify: (publicKey, message, signature) => equal(signature, expand(signatureBytes, label, publicKey, message)),
  }
}

export const nativeEd25519 = signatures('ed25519', 32, 64)
export const nativeMldsa65 = signatures('ml-dsa', 1952, 3309)

function kem(
  label: string,
  lengths: { readonly publicKey: number; readonly cipherText: number; readonly msgRand: number },
) {
  const publicKeyOf = (seed: Uint8Array): Uint8Array<ArrayBuffer> => expand(lengths.publicKey, label, seed)
  const secretOf = (publicKey: Uint8Array, random: Uint8Array) => expand(32, label, publicKey, random)
  return {
    lengths,
    keygen: (seed: Uint8Array) => ({ publicKey: publicKeyOf(seed), secretKey: seed }),
    encapsulate(publicKey: Uint8Array, random: Uint8Array) {
      const cipherText = new Uint8Array(lengths.cipherText)
      cipherText.set(random)
      return { cipherText, sharedSecret: secretOf(publicKey, random) }
    },
    decapsulate: (cipherText: Uint8Array, seed: Uint8Array) =>
      secretOf(publicKeyOf(seed), cipherText.subarray(0, lengths.msgRand)),
  }
}

export const ml_kem768_x25519 = kem('x-wing', { publicKey: 1216, cipherText: 1120, msgRand: 64 })
export const nativeXWing: Kem = {
  ...{ id: 0x647a, publicKeyBytes: 1216, encBytes: 1120, randomBytes: 64 },
  keyPair: (seed) => ({ publicKey: ml_kem768_x25519.keygen(seed).publicKey, seed: Uint8Array.from(seed) }),
  encapsulate(publicKey, random) {
    const { cipherText, sharedSecret } = ml_kem768_x25519.encapsulate(publicKey, random)
    return { enc: cipherText, sharedSecret }
  },
  decapsulate: (seed, enc) => ml_kem768_x25519.decapsulate(enc, seed),
}
export const ml_kem1024_p384 = kem('p384', { publicKey: 1665, cipherText: 1665, msgRand: 128 })
