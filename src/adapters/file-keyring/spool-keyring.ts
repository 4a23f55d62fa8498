import { existsSync } from 'node:fs'
import type { HpkePrimitives } from '../../crypto/kem.ts'
import { toHex } from '../../domain/ids.ts'
import type { Suite } from '../../ports/keyring.ts'
import type { Clock, Random } from '../../ports/system.ts'
import { unknownKey } from './organisation-secrets.ts'
import type { SealedStore } from './sealed-store.ts'
import type { SpoolKey } from './secrets.ts'
import { newSpoolKey, presentSpoolKey, rotated } from './spool-keys.ts'

export interface SpoolKeyringPorts {
  readonly primitives: HpkePrimitives
  readonly clock: Clock
  readonly random: Random
}

/** The spool's keys in a file of their own, so that a rotation can destroy old ones without touching the rest. */
export class SpoolKeyring {
  readonly #ports: SpoolKeyringPorts
  readonly #path: string
  readonly #store: SealedStore<readonly SpoolKey[]>

  constructor(ports: SpoolKeyringPorts, path: string, store: SealedStore<readonly SpoolKey[]>) {
    this.#ports = ports
    this.#path = path
    this.#store = store
  }

  /** The key that new extents are wrapped to; made when there is none. */
  async publicKey(): Promise<{ readonly suite: Suite; readonly keyId: Uint8Array; readonly publicKey: Uint8Array }> {
    let present = presentSpoolKey(await this.#keys())
    if (present === undefined) {
      const keys = await this.#store.update((now) => (presentSpoolKey(now) ? now : [...now, this.#newKey()]))
      present = presentSpoolKey(keys)!
    }
    return { suite: 1, keyId: present.keyId, publicKey: this.#ports.primitives.kem(1).keyPair(present.seed).publicKey }
  }

  /** @throws E_KEYRING_KEY_UNKNOWN when it was destroyed. */
  async seedOf(id: Uint8Array): Promise<Uint8Array> {
    const wanted = toHex(id)
    const key = (await this.#keys()).find((one) => toHex(one.keyId) === wanted)
    if (key === undefined) throw unknownKey('this spool key was destroyed', { keyId: wanted })
    return key.seed
  }

  /**
   * Replaces the present key when it is a day old, or when the spool is empty and the key at least ten minutes old; destroys
   * superseded keys that `inUse` does not name, ten minutes after they were superseded. What a disk can keep of a destroyed
   * key says `replaceFile`.
   */
  async rotate(inUse: readonly Uint8Array[]): Promise<void> {
    await this.#keys()
    const nowMs = this.#ports.clock.nowMs()
    await this.#store.update((keys) => rotated(keys, inUse, nowMs, () => this.#newKey()))
  }

  #newKey(): SpoolKey {
    const { primitives, random, clock } = this.#ports
    return newSpoolKey(primitives, random.bytes(32), clock.nowMs())
  }

  async #keys(): Promise<readonly SpoolKey[]> {
    const exists = () => existsSync(this.#path)
    if (!exists()) await this.#store.createUnlessThere(exists, { content: 'spool', kdf: null }, [this.#newKey()])
    return this.#store.read()
  }
}
