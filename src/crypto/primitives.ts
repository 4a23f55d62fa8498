/** An AES-256-GCM key made ready for many messages. Tags are 16 bytes, nonces 12. */
export interface GcmKey {
  /** Ciphertext ‖ tag. */
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array<ArrayBuffer>
  /**
   * As `seal`, written to `target` (plaintext + 16 bytes), which may be kernel memory: saves the bulk path a copy.
   * @throws RangeError when `target` has another length.
   */
  sealInto(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array, target: Uint8Array): void
  /** The plaintext, or `undefined` when the tag does not verify. Nothing is released before the tag is checked. */
  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array<ArrayBuffer> | undefined
  /**
   * As `open`, written to `target` (sealed − 16 bytes); false, and zeros there, when the tag does not verify.
   * @throws RangeError when `target` has another length.
   */
  openInto(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array, target: Uint8Array): boolean
  /** AES-256-GMAC: the tag over `data` as additional data of an empty message. */
  gmac(nonce: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer>
}

/** A private key made ready. Never log, never serialise. */
export interface SignatureKeyPair {
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
}

/** Ed25519 (RFC 8032, canonical encodings only) or ML-DSA-65 (FIPS 204, empty context string). */
export interface SignatureAlgorithm {
  /** @param seed 32 bytes. @throws RangeError for another length. */
  keyPair(seed: Uint8Array): SignatureKeyPair
  /** False, never an error, for a signature or key of a wrong length or form. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean
}

/**
 * The primitives that our constructions are built on, so that they run on node:crypto in the vault
 * (`adapters/node-primitives.ts`) and on noble in a browser and in tests (`crypto/noble-primitives.ts`).
 */
export interface Primitives {
  gcm(key: Uint8Array): GcmKey
  sha256(...parts: Uint8Array[]): Uint8Array<ArrayBuffer>
  hmacSha256(key: Uint8Array, ...parts: Uint8Array[]): Uint8Array<ArrayBuffer>
  /** RFC 5869, extract and expand. */
  hkdfSha256(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, lengthBytes: number): Uint8Array<ArrayBuffer>
  /** RFC 5869 §2.3 only: FLOE uses no extract. */
  hkdfExpandSha384(prk: Uint8Array, info: Uint8Array, lengthBytes: number): Uint8Array<ArrayBuffer>
  /** ChaCha20 keystream (RFC 8439, nonce zero) starting at 64-byte block `block`; `lengthBytes` of it. */
  chacha20(key: Uint8Array, block: number, lengthBytes: number): Uint8Array<ArrayBuffer>
  /** As `chacha20`, written over the whole of `target`, which may be kernel memory. */
  chacha20Into(key: Uint8Array, block: number, target: Uint8Array): void
  equal(a: Uint8Array, b: Uint8Array): boolean
  readonly ed25519: SignatureAlgorithm
  readonly mldsa65: SignatureAlgorithm
}
