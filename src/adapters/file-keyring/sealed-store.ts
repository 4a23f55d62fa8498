import type { Primitives } from '../../crypto/primitives.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Clock, Random } from '../../ports/system.ts'
import { withFileLock } from './file-lock.ts'
import {
  fileStamp,
  openEnvelope,
  readEnvelope,
  replaceFile,
  sealEnvelope,
  type Envelope,
  type Lock,
} from './sealed-file.ts'

export interface SealedStorePorts {
  readonly primitives: Primitives
  readonly clock: Clock
  readonly random: Random
}

const READ_ATTEMPTS = 5

/**
 * One sealed file as a value: read when it changed, changed under the lock. Processes that share the file see each other's
 * changes at their next call and lose none.
 */
export class SealedStore<T> {
  readonly #ports: SealedStorePorts
  readonly #path: string
  readonly #lockPath: string
  #key: Uint8Array
  readonly #parse: (value: unknown) => T
  readonly #toJson: (value: T) => unknown
  #stamp = ''
  #envelope: Envelope | undefined
  #value: T | undefined

  constructor(
    ports: SealedStorePorts,
    options: {
      readonly path: string
      readonly lockPath: string
      /** 32 bytes. */
      readonly key: Uint8Array
      readonly parse: (value: unknown) => T
      readonly toJson: (value: T) => unknown
    },
  ) {
    this.#ports = ports
    this.#path = options.path
    this.#lockPath = options.lockPath
    this.#key = options.key
    this.#parse = options.parse
    this.#toJson = options.toJson
  }

  /** The value as the file has it now. @throws E_CONFIG; E_KEYRING_PASSPHRASE when the key does not open it. */
  read(): T {
    let failure: unknown
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const stamp = fileStamp(this.#path)
      if (this.#value !== undefined && stamp === this.#stamp) return this.#value
      try {
        const envelope = readEnvelope(this.#path)
        const value = this.#open(envelope)
        this.#value = value
        this.#envelope = envelope
        this.#stamp = stamp
        return value
      } catch (error) {
        failure = error
        // a file that is being replaced may be read while its old blocks are overwritten: the new one is there by then
        if (stamp === fileStamp(this.#path)) break
      }
    }
    throw failure
  }

  /**
   * Changes the value: `change` gets what the file has now and gives what it shall have, or the same for no change.
   * Durable when it resolves.
   */
  async update(change: (value: T) => T): Promise<T> {
    return withFileLock(this.#lockPath, this.#ports.clock, () => {
      const before = this.read()
      const after = change(before)
      if (after !== before) this.#write(after, this.#envelope!, this.#envelope!.revision + 1)
      return after
    })
  }

  /**
   * Changes the value, and seals it under another key from now on, in one replacement of the file.
   *
   * @param lock what gives the new key; nothing when it is kept elsewhere.
   */
  async reseal(key: Uint8Array, lock: Lock, change: (value: T) => T): Promise<void> {
    await withFileLock(this.#lockPath, this.#ports.clock, () => {
      const after = change(this.read())
      const { content, revision } = this.#envelope!
      const former = this.#key
      this.#key = new Uint8Array(key)
      this.#write(after, { content, ...lock }, revision + 1)
      former.fill(0)
    })
  }

  /** Writes the first content of a file that is not there; `true` when it was there already and is left alone. */
  async createUnlessThere(exists: () => boolean, clear: Lock & Pick<Envelope, 'content'>, first: T): Promise<boolean> {
    return withFileLock(this.#lockPath, this.#ports.clock, () => {
      if (exists()) return true
      this.#write(first, clear, 1)
      return false
    })
  }

  /** Overwrites the key, as far as JavaScript can. */
  forget(): void {
    this.#key.fill(0)
    this.#value = undefined
    this.#stamp = ''
  }

  #write(value: T, { content, kdf, custody, hsm }: Lock & Pick<Envelope, 'content'>, revision: number): void {
    const nonce = this.#ports.random.bytes(12)
    const clear = { content, kdf, custody, hsm, revision }
    const envelope = sealEnvelope(this.#ports.primitives, this.#key, nonce, clear, this.#toJson(value))
    this.#open(envelope)
    replaceFile(this.#path, envelope)
    this.#envelope = envelope
    this.#value = value
    this.#stamp = fileStamp(this.#path)
  }

  #open(envelope: Envelope): T {
    const json = openEnvelope(this.#ports.primitives, this.#key, envelope)
    if (json === undefined) throw wrongKey(envelope)
    return this.#parse(json)
  }
}

/** Without a hint more: a wrong key and a changed file look the same. */
function wrongKey({ kdf, content }: Envelope): MosaikError {
  return kdf !== null || content === 'spool'
    ? new MosaikError('E_KEYRING_PASSPHRASE', 'the passphrase does not open the keyring')
    : new MosaikError(
        'E_CONFIG',
        'what opens keyring.json is right and does not open it: the file was changed. Put it back from its backup',
      )
}
